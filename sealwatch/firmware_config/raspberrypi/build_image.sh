#!/usr/bin/env bash
# Makes an SD card image of a node for a Raspberry Pi 4 out of Debian 12 for arm64, or lays the same settings over an
# unpacked Raspberry Pi OS. Needs root. See README.md beside this file for every setting with its reason.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$here/../../.." && pwd)

usage() {
  cat <<'USAGE'
build_image.sh [options] IMAGE
build_image.sh [options] --onto ROOT     ROOT: a mounted or unpacked Raspberry Pi OS (bookworm), boot at ROOT/boot/firmware

  --size-gb N              size of the image, 4 or more (default 8); the rest of it is the data partition
  --authorized-keys FILE   ssh keys of the administrators; without it nobody can log in, and there is no password
  --models FOLDER          person models as `sealwatch models fetch` leaves them; without it they are copied later
  --mirror URL             Debian's mirror; a snapshot of a day gives the same packages again
  --python PROGRAM         the Python that fetches the wheels (default python3)
USAGE
}

die() { echo "build_image.sh: $*" >&2; exit 2; }

image='' onto='' size_gb=8 keys='' models='' mirror=http://deb.debian.org/debian python=python3
while [ $# -gt 0 ]; do
  case $1 in
    --size-gb) size_gb=${2:?}; shift 2 ;;
    --authorized-keys) keys=${2:?}; shift 2 ;;
    --models) models=${2:?}; shift 2 ;;
    --mirror) mirror=${2:?}; shift 2 ;;
    --python) python=${2:?}; shift 2 ;;
    --onto) onto=${2:?}; shift 2 ;;
    -h | --help) usage; exit 0 ;;
    -*) usage >&2; die "there is no option $1" ;;
    *) image=$1; shift ;;
  esac
done
[ -n "$image$onto" ] || { usage >&2; die "name the image to be made, or --onto a root"; }
[ -z "$image" ] || [ -z "$onto" ] || die "either an image or --onto, not both"
[[ $size_gb =~ ^([4-9]|[1-9][0-9]+)$ ]] || die "--size-gb: a whole number of 4 or more, not '$size_gb'"
[ -z "$keys" ] || [ -r "$keys" ] || die "$keys cannot be read"
[ -z "$models" ] || [ -d "$models" ] || die "$models is no folder"
[ "$(id -u)" = 0 ] || die "run it as root: files of an image belong to root"

# Every time stamp in the image is this one, so that the same inputs give the same image.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$project" log -1 --format=%ct 2>/dev/null || echo 1767225600)}
export SOURCE_DATE_EPOCH
packages=(
  systemd-sysv udev dbus kmod zstd ca-certificates tzdata
  linux-image-arm64 raspi-firmware firmware-brcm80211   # the board
  overlayroot initramfs-tools                           # a root that is never written
  chrony                                                # time
  network-manager modemmanager usb-modeswitch wireguard-tools nftables openssh-server
  python3 libstdc++6 alsa-utils                         # the agent
  util-linux-extra i2c-tools iproute2 usbutils less nano   # what a person in the field wants
)

settings() { # ROOT: everything that does not need a running system
  local root=$1
  cp -r --no-preserve=ownership "$here/root/." "$root/"
  chmod 600 "$root"/etc/NetworkManager/system-connections/*
  install -d -m 755 "$root/data" "$root/boot/firmware" "$root/var/lib/sealwatch" "$root/opt/sealwatch/bin"
  rm -rf "$root/etc/sealwatch" "$root/etc/wireguard" "$root/etc/machine-id" "$root"/etc/ssh/ssh_host_*
  ln -s /data/etc "$root/etc/sealwatch"
  ln -s /data/wireguard "$root/etc/wireguard"
  install -D -m 644 "$project/deploy/systemd/sealwatch-edge.service" "$root/etc/systemd/system/sealwatch-edge.service"
  # Empty: systemd makes one in memory at every boot. One in the image would be the same in every node.
  : >"$root/etc/machine-id"
  echo sealwatch >"$root/etc/hostname"
  grep -q '^gpio:' "$root/etc/group" || echo 'gpio:x:991:' >>"$root/etc/group"
  grep -q '^sealwatch:' "$root/etc/group" || echo 'sealwatch:x:990:' >>"$root/etc/group"
  grep -q '^sealwatch:' "$root/etc/passwd" ||
    echo 'sealwatch:x:990:990:SealWatch:/var/lib/sealwatch:/usr/sbin/nologin' >>"$root/etc/passwd"
  grep -q '^sealwatch:' "$root/etc/shadow" || echo 'sealwatch:!:20000::::::' >>"$root/etc/shadow"
  if [ -n "$keys" ]; then
    grep -q '^admin:' "$root/etc/passwd" || {
      echo 'admin:x:1000:1000:Administrator:/home/admin:/bin/bash' >>"$root/etc/passwd"
      echo 'admin:x:1000:' >>"$root/etc/group"
      echo 'admin:*:20000::::::' >>"$root/etc/shadow" # no password, keys alone
    }
    install -d -m 700 -o 1000 -g 1000 "$root/home/admin" "$root/home/admin/.ssh"
    install -m 600 -o 1000 -g 1000 "$keys" "$root/home/admin/.ssh/authorized_keys"
  fi
  systemctl --root="$root" enable --quiet sealwatch-edge.service sealwatch-hostkey.service nftables.service \
    NetworkManager.service ModemManager.service chrony.service ssh.service
  # They write or fetch by themselves, on a root that forgets and a link that costs.
  systemctl --root="$root" mask --quiet apt-daily.timer apt-daily-upgrade.timer man-db.timer \
    systemd-timesyncd.service systemd-networkd.service
}

agent() { # ROOT: the agent for arm64 from wheels, below /opt/sealwatch
  local root=$1 lib=$1/opt/sealwatch/lib
  local wanted
  mapfile -t wanted < <("$python" - "$project/pyproject.toml" <<'PY'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print("\n".join([*project["dependencies"], *project["optional-dependencies"]["edge"]]))
PY
  )
  rm -rf "$lib"
  "$python" -m pip install --quiet --no-compile --disable-pip-version-check --root-user-action=ignore \
    --platform=manylinux_2_28_aarch64 --platform=manylinux_2_27_aarch64 --platform=manylinux2014_aarch64 \
    --python-version=3.11 --implementation=cp --only-binary=:all: --target "$lib" "${wanted[@]}"
  "$python" -m pip install --quiet --no-compile --disable-pip-version-check --root-user-action=ignore \
    --no-deps --upgrade --target "$lib" "$project"
  cat >"$root/opt/sealwatch/bin/sealwatch" <<'RUN'
#!/bin/sh
PYTHONPATH=/opt/sealwatch/lib PYTHONDONTWRITEBYTECODE=1 exec /usr/bin/python3 -s -m sealwatch "$@"
RUN
  chmod 755 "$root/opt/sealwatch/bin/sealwatch"
  install -m 755 "$project/deploy/systemd/sealwatch-start" "$root/opt/sealwatch/bin/sealwatch-start"
  install -d "$root/opt/sealwatch/models"
  [ -z "$models" ] || find "$models" -maxdepth 1 -name '*.onnx*' -exec cp {} "$root/opt/sealwatch/models/" \;
}

firmware() { # ROOT: what the bootloader reads
  local boot=$1/boot/firmware
  touch "$boot/config.txt"
  grep -q SealWatch "$boot/config.txt" || cat "$here/boot/config.txt" >>"$boot/config.txt"
  cp "$here/boot/cmdline.txt" "$boot/cmdline.txt"
}

if [ -n "$onto" ]; then
  for folder in boot/firmware etc/systemd; do
    [ -d "$onto/$folder" ] || die "$onto does not look like a Raspberry Pi OS of 2023 or later: no $folder"
  done
  for program in chronyd nft overlayroot-chroot ModemManager; do
    [ -e "$onto/usr/sbin/$program" ] ||
      die "$onto has no $program; first: chroot $onto apt-get install -y chrony nftables overlayroot modemmanager network-manager wireguard-tools"
  done
  settings "$onto"
  agent "$onto"
  # Its own command line names its own partitions; the data partition must be made and labelled by hand.
  touch "$onto/boot/firmware/config.txt"
  grep -q SealWatch "$onto/boot/firmware/config.txt" || cat "$here/boot/config.txt" >>"$onto/boot/firmware/config.txt"
  sed -i 's#^LABEL=sealwatch-root#LABEL=rootfs#; s#^LABEL=SW-BOOT#LABEL=bootfs#' "$onto/etc/fstab"
  echo "settings and agent are in $onto; make a third partition, ext4, label sealwatch-data, with folders state, etc, ssh"
  exit 0
fi

for program in mmdebstrap mke2fs mkfs.vfat mcopy sfdisk; do
  command -v "$program" >/dev/null || die "$program is missing: apt-get install mmdebstrap e2fsprogs dosfstools mtools fdisk"
done
case $(uname -m) in
  aarch64) ;;
  *) [ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] ||
    die "this machine cannot run arm64 programs: apt-get install qemu-user-static binfmt-support" ;;
esac
work=$(mktemp -d "${TMPDIR:-/tmp}/sealwatch-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

echo "== Debian 12 for arm64"
mmdebstrap --quiet --mode=root --arch=arm64 --variant=minbase --components=main,non-free-firmware \
  --include="$(IFS=,; echo "${packages[*]}")" --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' bookworm "$root" "$mirror"
echo "== settings and agent"
settings "$root"
agent "$root"
for file in "$root"/boot/vmlinuz-* ; do
  version=${file##*/vmlinuz-}
  cp "$file" "$root/boot/firmware/vmlinuz"
  cp "$root/boot/initrd.img-$version" "$root/boot/firmware/initrd.img"
  cp "$root/usr/lib/linux-image-$version"/broadcom/bcm2711*.dtb "$root/boot/firmware/"
done
cp -r "$root"/usr/lib/raspi-firmware/. "$root/boot/firmware/"
printf '[all]\nkernel=vmlinuz\ninitramfs initrd.img followkernel\n' >"$root/boot/firmware/config.txt"
firmware "$root"
# shellcheck disable=SC2016  # dpkg's own names, not the shell's
dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Package} ${Version}\n' >"$image.packages"
rm -rf "$root"/var/cache/ldconfig "$root"/var/log/* "$root"/var/lib/apt/lists/* "$root"/tmp/*

echo "== partitions"
mib=$((1024 * 1024)) boot_mib=512 root_mib=3072
data_mib=$((size_gb * 1000000000 / mib - boot_mib - root_mib - 8))
export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
rm -f "$image"
truncate -s $((size_gb * 1000000000 / mib * mib)) "$image"
sfdisk --quiet "$image" <<TABLE
label: dos
label-id: 0x5ea17a7c
start=4MiB, size=${boot_mib}MiB, type=c, bootable
start=$((4 + boot_mib))MiB, size=${root_mib}MiB, type=83
start=$((4 + boot_mib + root_mib))MiB, size=${data_mib}MiB, type=83
TABLE

put() { # FILE START_MIB: a partition into its place
  dd if="$1" of="$image" bs=1M seek="$2" conv=notrunc,sparse status=none
}
truncate -s ${boot_mib}M "$work/boot.img"
mkfs.vfat --invariant -F 32 -n SW-BOOT -i 5ea17a7c "$work/boot.img" >/dev/null
mcopy -s -m -i "$work/boot.img" "$root"/boot/firmware/* ::/
put "$work/boot.img" 4
rm -rf "$root"/boot/firmware/*
mke2fs -q -t ext4 -L sealwatch-root -U 5ea17a7c-0000-4000-8000-000000000001 -m 1 \
  -E hash_seed=5ea17a7c-0000-4000-8000-00000000000a -d "$root" "$work/root.img" ${root_mib}M
put "$work/root.img" $((4 + boot_mib))
install -d -m 755 "$work/data" "$work/data/etc"
install -d -m 700 "$work/data/ssh" "$work/data/wireguard"
install -m 600 "$here/wg0.conf.example" "$work/data/wireguard/wg0.conf.example"
install -d -m 700 -o 990 -g 990 "$work/data/state"
touch -d "@$SOURCE_DATE_EPOCH" "$work/data" "$work"/data/*
mke2fs -q -t ext4 -L sealwatch-data -U 5ea17a7c-0000-4000-8000-000000000002 -m 0 \
  -E hash_seed=5ea17a7c-0000-4000-8000-00000000000b -d "$work/data" "$work/data.img" ${data_mib}M
put "$work/data.img" $((4 + boot_mib + root_mib))
echo "== $image"
sha256sum "$image"
echo "write it with: dd if=$image of=/dev/DISK bs=4M conv=fsync; then put node.toml into etc/ of its third partition"
