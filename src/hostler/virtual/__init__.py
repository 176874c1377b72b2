"""A lab without hardware: QEMU boards on a virtual PoE switch.

Hostler knows it as any other lab: a switch with POWER-ETHERNET-MIB, serial lines behind TCP ports, and
boards that ask for an address. What these boards' firmware does at power-up, as seen on the wire:

- ``x86-bios`` (SeaBIOS, iPXE in the card's ROM): one DHCP exchange with user class (77) ``iPXE`` and 93 = 0;
  fetches 67 (file or URL). ``exit 1`` goes on to the disk.
- ``x86-uefi`` (OVMF, its own PXE client): DHCP with 60 ``PXEClient:Arch:00007`` and 93 = 7, waits four
  seconds for more offers; fetches 67 by TFTP after a probe for its size that it aborts (ERROR 8). The
  iPXE it loads asks DHCP again with 77 ``iPXE``, 93 = 7. ``exit 1`` goes on to the disk; plain ``exit``
  shows the setup screen.
- ``arm64-uboot``: DHCP with 60 ``U-Boot.armv8``, 93 = 22, and 97 in text order (the other two send it in
  SMBIOS order, first three fields swapped); TFTP of ``pxelinux.cfg/<uuid>``, ``pxelinux.cfg/01-<mac>``, then
  the address in hex, shortened digit by digit, then defaults. ``localboot 1`` goes on to the disk:
  ``extlinux/extlinux.conf``, ``boot.scr``, ``EFI/BOOT/BOOTAA64.EFI``. With nothing to boot it starts over.

iPXE waits some 15 seconds for an IPv6 router before it uses its IPv4 address, on real boards too; an
answer to its router solicitation that offers nothing (RFC 4861, router lifetime 0) ends the wait at once.
"""
