"""Which kernel modules the agent carries: what it takes to reach a rack and to see every disk.

Wireless, graphics, sound and the wide world of file systems stay out. So do network cards that do
nothing without non-free firmware (bnx2, bnx2x, qlogic); r8169 and tg3 work without theirs.
"""

from __future__ import annotations

_ETHERNET_LINES = (
    "8390 alacritech allwinner amazon amd apm aquantia asix atheros broadcom cadence davicom",
    "engleder faraday freescale google hisilicon intel marvell mellanox microchip microsoft mscc",
    "nvidia qualcomm realtek renesas rdc smsc socionext stmicro sun synopsys ti via wangxun xilinx",
)
_ETHERNET = tuple(word for line in _ETHERNET_LINES for word in line.split())
_EVERYWHERE = (
    *(f"drivers/net/ethernet/{vendor}/" for vendor in _ETHERNET),
    "crypto/crc32c_generic.ko",  # ext4 asks for it by name when it mounts
    "drivers/ata/",
    "drivers/block/loop.ko",  # with dm-snapshot: what is changed of a disk that must not be written
    "drivers/block/virtio_blk.ko",
    "drivers/block/xen-blkfront.ko",
    "drivers/char/hw_random/virtio-rng.ko",
    "drivers/hv/",
    "drivers/md/dm-snapshot.ko",
    "drivers/message/fusion/mptspi.ko",
    "drivers/mmc/",
    "drivers/mtd/spi-nor/",
    "drivers/net/hyperv/",
    "drivers/net/mdio/",
    "drivers/net/pcs/",
    "drivers/net/phy/",
    "drivers/net/usb/",
    "drivers/net/virtio_net.ko",
    "drivers/net/vmxnet3/",
    "drivers/net/xen-netfront.ko",
    "drivers/nvme/host/nvme.ko",
    "drivers/scsi/hv_storvsc.ko",
    "drivers/scsi/megaraid/megaraid_sas.ko",
    "drivers/scsi/mpt3sas/",
    "drivers/scsi/sd_mod.ko",
    "drivers/scsi/sr_mod.ko",
    "drivers/scsi/virtio_scsi.ko",
    "drivers/scsi/vmw_pvscsi.ko",
    "drivers/ufs/",
    "drivers/usb/common/",
    "drivers/usb/core/",
    "drivers/usb/host/",
    "drivers/usb/storage/",
    "drivers/virtio/",
    "drivers/watchdog/softdog.ko",
    "fs/btrfs/",  # this and XFS for images whose root grows with the disk: 1.3 MB compressed
    "fs/efivarfs/",
    "fs/ext4/",
    "fs/fat/vfat.ko",
    "fs/nls/nls_ascii.ko",
    "fs/nls/nls_cp437.ko",
    "fs/nls/nls_iso8859-1.ko",
    "fs/nls/nls_utf8.ko",
    "fs/xfs/",
    "lib/libcrc32c.ko",
)

_PER_ARCH = {
    "amd64": (
        "arch/x86/crypto/crc32c-intel.ko",
        "arch/x86/crypto/sha256-ssse3.ko",
        "drivers/i2c/busses/i2c-designware",
        "drivers/pinctrl/intel/",
    ),
    # On a board with a device tree the way to a disk or a cable leads over clocks, pins, buses and
    # voltages, each a module of its own.
    "arm64": (
        "arch/arm64/crypto/sha2-ce.ko",
        "drivers/bus/",
        "drivers/clk/",
        "drivers/dma/bcm2835-dma.ko",
        "drivers/dma/sun6i-dma.ko",
        "drivers/extcon/",
        "drivers/firmware/",
        "drivers/gpio/",
        "drivers/i2c/busses/i2c-bcm2835.ko",
        "drivers/i2c/busses/i2c-imx.ko",
        "drivers/i2c/busses/i2c-meson.ko",
        "drivers/i2c/busses/i2c-mv64xxx.ko",
        "drivers/i2c/busses/i2c-rk3x.ko",
        "drivers/mailbox/",
        "drivers/mfd/",
        "drivers/mtd/parsers/ofpart.ko",
        "drivers/pci/controller/",
        "drivers/phy/",
        "drivers/pinctrl/",
        "drivers/regulator/",
        "drivers/reset/",
        "drivers/soc/",
        "drivers/spi/",  # SPI-NOR hangs on these
        "drivers/usb/chipidea/",
        "drivers/usb/dwc2/",
        "drivers/usb/dwc3/",
        "drivers/usb/musb/",
        "drivers/usb/phy/",
    ),
}

_NEVER = (
    "drivers/net/ethernet/intel/fm10k/",
    "drivers/net/ethernet/mellanox/mlxsw/",
    "drivers/net/ethernet/broadcom/bnx2.ko",
    "drivers/net/ethernet/broadcom/bnx2x/",
    "drivers/net/ethernet/broadcom/cnic.ko",
    "drivers/net/ethernet/sun/sun",
    "drivers/net/usb/hso.ko",
    "drivers/net/usb/sierra_net.ko",
    "drivers/ata/pata_parport",
    "drivers/mfd/ucb",
    "drivers/ufs/host/ufshcd-pci-test",
    "drivers/usb/host/isp1362",
    "drivers/usb/host/u132-hcd.ko",
    "drivers/hv/hv_balloon.ko",
    "drivers/virtio/virtio_input.ko",
    "drivers/virtio/virtio_balloon.ko",
    "drivers/virtio/virtio_mem.ko",
)

_TINY = (
    "crypto/crc32c_generic.ko",
    "drivers/ata/ahci.ko",
    "drivers/ata/ata_piix.ko",
    "drivers/block/virtio_blk.ko",
    "drivers/char/hw_random/virtio-rng.ko",
    "drivers/mmc/host/sdhci-pci.ko",
    "drivers/mmc/core/mmc_block.ko",
    "drivers/net/ethernet/intel/e1000/",
    "drivers/net/ethernet/intel/e1000e/",
    "drivers/net/ethernet/intel/igb/",
    "drivers/net/ethernet/realtek/r8169.ko",
    "drivers/net/phy/realtek.ko",
    "drivers/net/virtio_net.ko",
    "drivers/nvme/host/nvme.ko",
    "drivers/scsi/sd_mod.ko",
    "drivers/scsi/virtio_scsi.ko",
    "drivers/usb/host/xhci-pci.ko",
    "drivers/usb/storage/usb-storage.ko",
    "drivers/virtio/virtio_mmio.ko",
    "drivers/virtio/virtio_pci.ko",
    "fs/ext4/",
)


def agent_wants(arch: str, inner: str) -> bool:
    """Whether the agent for ``arch`` carries the module at ``inner`` below ``kernel/``."""
    return inner.startswith(_EVERYWHERE + _PER_ARCH[arch]) and not inner.startswith(_NEVER)


def tiny_wants(inner: str) -> bool:
    """Whether the ``tiny`` image carries the module: enough for virtual boards and plain PCs."""
    return inner.startswith(_TINY)
