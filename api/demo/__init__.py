"""One working day of an orchard, played by simulated actors through the product's own doors.

Nothing here reaches into the product: the actors use the command line, HTTP, MQTT and pages, as real
devices, platforms, phones and stations do. They run beside it in their own process.
"""
