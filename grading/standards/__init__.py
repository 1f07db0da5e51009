"""Published standards and price tiers, held as data: one TOML file each. Read by `grading.standard`."""
