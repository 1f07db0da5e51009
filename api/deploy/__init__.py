"""What an operator needs beside the code: units, proxy, example settings, private services to try with."""
