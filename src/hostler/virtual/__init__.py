"""A lab without hardware: QEMU boards on a virtual PoE switch."""
