"""What happens on the metal: one keeper per board over drivers, netboot and consoles."""
