"""The seam between hub and racks: desired down, observed up."""
