#!/bin/bash
# Troupe in an image of Charliecloud: a folder with Debian 12 and Troupe's package. As root, once:
#
#   make package && packaging/charliecloud/make_image.sh build/package/troupe_*.deb IMAGE [FOLDER...]
#
# FOLDERs are those that ch-run shall bind, which must be there, empty: models, data, runs (this one is always). Then, without
# root and on every node:  ch-run --bind=$PWD --cd=$PWD IMAGE -- troupe run JOB.ini
# docs/cluster.md has the rest. MIRROR is where Debian comes from.
set -euo pipefail
if (($# < 2)); then sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; fi
package=$1 image=$2
shift 2

debootstrap --variant=minbase bookworm "$image" ${MIRROR:-}
cp "$package" "$image/tmp/troupe.deb"
DEBIAN_FRONTEND=noninteractive chroot "$image" apt-get install -y --no-install-recommends /tmp/troupe.deb \
  openmpi-bin slurm-client slurm-wlm-basic-plugins libpmix-dev
chroot "$image" apt-get clean
rm -rf "$image"/tmp/troupe.deb "$image"/var/lib/apt/lists/*
touch "$image/etc/hosts"  # ch-run then puts the node's own there
for folder in /etc/slurm /run/munge "$PWD" "$@"; do mkdir -p "$image$folder"; done
