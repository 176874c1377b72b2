"""DHCP, TFTP and HTTP boot services: they answer from memory and leave a trace."""
