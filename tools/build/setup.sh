#!/bin/bash
# Makes this tree ready: system packages, virtual environment, MicroPython. Owns the layout of the cache; how MicroPython
# is built is micropython.sh's. Each step is skipped while the content it was made from is unchanged.
#
#   tools/build/setup.sh            do what is missing
#   tools/build/setup.sh image      and what images of boards need beyond that: ARM compiler, SDK of the RP2040
#   tools/build/setup.sh emulator   and what the emulated board needs
#   tools/build/setup.sh fields     and compilers and emulators of the processors that `make bench-fields` counts on
#   tools/build/setup.sh --where    print this tree's folder in the cache and do nothing
#
# Cache: $TESSERA_CACHE, else $XDG_CACHE_HOME/tessera, else ~/.cache/tessera
#   micropython/HASH     sources and build, shared by all trees with this recipe (micropython.sh). Another recipe's is removed
#                        by a set-up that builds one when no tree was set up with it for 30 days
#   proxies/             nginx and microsocks, unpacked from Debian's packages, shared by all trees
#   NAME-HASH/venv       this tree's virtual environment, the project installed editable; nats-server for its tests
#   NAME-HASH/bin        mpy-cross, micropython (this tree's C modules), micropython-tessera (its core frozen in as well)
#   NAME-HASH/callgraph  what the compiler says of the C modules' stack (tools/build/c_stack.py)
#   NAME-HASH/image      what images are compiled in (tools/build/image.py)
#   images/              finished images, by the content they were made of (tools/build/image.py)
#   NAME-HASH/emulator   the emulated board: its Node.js modules, and a link to tools/emulator
#   NAME-HASH/passed     runs of the library's own tests that passed, by their content (tests/field/test_library.py)
#   NAME-HASH/runs       what runs of the emulated board came to, by their content (tests/support/kept_runs.py)
#   NAME-HASH/setup.log  what the last run that had something to do printed
#   lock, NAME-HASH/lock held by who changes what is shared; by a set-up of this tree
#
# A Debian without make and git needs `apt-get install make git` first; the rest is installed from here.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${TESSERA_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or TESSERA_CACHE}/.cache}/tessera}
[[ $cache == /* ]] || cache=$PWD/$cache
name=$(basename "$root" | tr -c 'A-Za-z0-9._\n-' _)
state=$cache/$name-$(printf %s "$root" | sha256sum | cut -c1-8)
venv=$state/venv
log=$state/setup.log

if [ "${1:-}" = --where ]; then
    echo "$state"
    exit
fi

# Progress and errors go to stderr: a caller's stdout stays its own.
say() { echo "setup: $*" >&2; }

stop() {
    say "$1"
    shift
    printf '       %s\n' "$@" >&2
    exit 1
}

# step MESSAGE COMMAND...: one line of progress; the command's output only if it fails.
# Never call it in a condition: that would switch `set -e` off inside the command.
step() {
    local message=$1 status=0
    shift
    say "$message …"
    printf '\n== %s (at %s s)\n' "$message" "$SECONDS" >>"$log"
    set +e
    (set -e; "$@") >>"$log" 2>&1 </dev/null
    status=$?
    set -e
    [ $status = 0 ] && return
    tail -n 30 "$log" | sed 's/^/  | /' >&2
    stop "failed: $message (whole log: $log)" \
        "Check the network and the messages above, then run the same command again: finished steps are kept." \
        "If it keeps failing, remove $cache and start over."
}

# is_fresh STAMP KEY: whether the step that wrote STAMP was made from content KEY.
is_fresh() { [ -f "$1" ] && [ "$(<"$1")" = "$2" ]; }

# Locks, which children inherit: a build that outlives a killed set-up still holds them. What is shared is held for as
# long as it is changed only: other trees' virtual environments are made meanwhile.
hold_tree() { hold 9 "another set-up of this tree"; }
hold_shared() { hold 8 "another tree's set-up"; }
let_shared_go() { flock -u 8; }
hold() { flock -n "$1" || { say "waiting for $2 to finish …"; flock "$1"; }; }

have() { command -v "$1" >/dev/null 2>&1; }

# --- System packages -------------------------------------------------------------------------------------------------

# Capabilities, not package names, so that nothing is asked of a user who may not install but already has all of it.
missing_packages() {
    have gcc || echo gcc
    [ -e /usr/include/stdio.h ] || echo libc6-dev
    have make || echo make
    have xz || echo xz-utils
    have bzip2 || echo bzip2
    have pkg-config || echo pkg-config
    { have pkg-config && pkg-config --exists libffi; } || echo libffi-dev
    [ -n "$(find_python)" ] || echo python3 python3-venv
    [ -z "${want_image-}" ] || missing_image_packages
    [ -z "${want_emulator-}" ] || missing_emulator_packages
    [ -z "${want_fields-}" ] || missing_field_packages
}

missing_image_packages() {
    have cmake || echo cmake
    have ninja || echo ninja-build
    have arm-none-eabi-gcc || echo gcc-arm-none-eabi
    arm_has stdio.h c || echo libnewlib-arm-none-eabi
    arm_has cstddef c++ || echo libstdc++-arm-none-eabi-dev
}

arm_has() { # HEADER LANGUAGE
    echo "#include <$1>" | arm-none-eabi-gcc -x "$2" -fsyntax-only - >/dev/null 2>&1
}

missing_emulator_packages() {
    have node || echo nodejs
    have npm || echo npm
    have unshare || echo util-linux
}

missing_field_packages() {
    have arm-none-eabi-gcc || echo gcc-arm-none-eabi
    arm_has stdio.h c || echo libnewlib-arm-none-eabi
    have qemu-system-arm || echo qemu-system-arm
    have riscv64-unknown-elf-gcc || echo gcc-riscv64-unknown-elf
    riscv_has stdio.h || echo picolibc-riscv64-unknown-elf
    have qemu-system-riscv32 || echo qemu-system-misc
    have xtensa-lx106-elf-gcc || echo gcc-xtensa-lx106
    [ -e /usr/lib/xtensa-lx106-elf/picolibc.specs ] || echo picolibc-xtensa-lx106-elf
    have qemu-xtensa || echo qemu-user
}

riscv_has() { # HEADER
    echo "#include <$1>" | riscv64-unknown-elf-gcc --specs=picolibc.specs -x c -fsyntax-only - >/dev/null 2>&1
}

apt_get() {
    local -a as_root=(env DEBIAN_FRONTEND=noninteractive)
    [ "$(id -u)" = 0 ] || as_root=(sudo "${as_root[@]}")
    "${as_root[@]}" apt-get -q "$@"
}

apt_install() {
    # A third party's broken repository must not stop what Debian's can deliver: the install decides.
    apt_get update || true
    apt_get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

install_packages() {
    local -a missing
    read -ra missing <<<"$(missing_packages | tr '\n' ' ')"
    [ ${#missing[@]} = 0 ] && return
    have apt-get || stop "apt-get not found: this set-up needs Debian 12 or later (or a derivative)."
    [ "$(id -u)" = 0 ] || have sudo || stop "system packages are missing and this user may not install them." \
        "As root: apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
    hold_shared
    step "installing ${missing[*]}" apt_install "${missing[@]}"
}

# One test skips without it: nobody who may not install, or has no network, is stopped for it.
install_faketime() {
    have faketime && return
    have apt-get && { [ "$(id -u)" = 0 ] || have sudo; } || return 0
    hold_shared
    say "installing faketime …"
    (apt_install faketime) >>"$log" 2>&1 </dev/null || say "faketime was not installed: a test of years will skip"
}

# A reverse proxy and a SOCKS server that tests go through. Unpacked, not installed: Debian's would serve from then on.
# Tests that lack one skip, as above.
unpack_proxies() {
    [ -x "$cache/proxies/usr/sbin/nginx" ] && [ -x "$cache/proxies/usr/bin/microsocks" ] &&
        [ -e "$cache/proxies/usr/lib/nginx/modules/ngx_stream_module.so" ] && return
    have apt-get && have dpkg || return 0
    hold_shared
    say "fetching nginx and microsocks …"
    mkdir -p "$cache/proxies"
    (cd "$cache/proxies" && { download || { apt_get update && download; }; } && ls ./*.deb | xargs -n 1 -I {} dpkg -x {} .) \
        >>"$log" 2>&1 </dev/null || say "nginx and microsocks were not fetched: tests of proxies will skip"
}

download() { rm -f ./*.deb && apt-get -q download nginx libnginx-mod-stream microsocks; }

# --- Virtual environment ---------------------------------------------------------------------------------------------

# The first Python that is new enough and can make virtual environments (Debian ships ensurepip apart). The system's comes
# first: it was compiled for speed, as those that version managers compile are not, for which a sixth of the tests' time
# goes; and its services run on it.
find_python() {
    local python
    for python in /usr/bin/python3 python3; do
        "$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue
        "$python" -c 'import sys; print(sys.executable)'
        return
    done
}

make_venv() {
    { "$venv/bin/python" -m pip --version && [ "$(real_python "$venv/bin/python")" = "$(real_python "$python")" ]; } ||
        "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --disable-pip-version-check --editable "${root}[dev]"
    "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes --no-deps -r "$engine"
    echo "$1" >"$state/venv.stamp"
}

real_python() { "$1" -c 'import os, sys; print(os.path.realpath(sys._base_executable))'; }

# --- MicroPython -----------------------------------------------------------------------------------------------------

micropython() { PYTHON=$python "$root/tools/build/micropython.sh" "$1" "$shared" "${@:2}"; }

make_toolchain() {
    rm -f "$shared"/{toolchain,rp2}.stamp
    find "$cache/micropython" -mindepth 1 -maxdepth 1 ! -path "$shared" -mtime +30 -exec rm -rf {} +
    micropython toolchain
    echo "$1" >"$shared/toolchain.stamp"
}

fetch_rp2_sources() {
    rm -f "$shared/rp2.stamp"
    micropython rp2-sources
    echo "$1" >"$shared/rp2.stamp"
}

modules_key() { (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum; }

# Trees share a build folder, where MicroPython's generators keep what they found in a module that this tree has not.
forget_other_modules() {
    diff -rq "$state/modules" "$shared/modules" >/dev/null 2>&1 || rm -rf "$shared/build-unix/genhdr"
}

# Builds read a copy, so what is built, what is digested and what the stamp says are one and the same content.
build_plain() {
    rm -rf "$state"/{modules,callgraph}
    mkdir -p "$state"/{bin,callgraph}
    cp -r "$root/firmware/modules" "$state/modules"
    forget_other_modules
    micropython unix "$state/modules" "$shared/manifest_plain.py" "$state/bin/micropython"
    cp "$shared"/build-unix/{mbedcrypto,secp256k1}/*.ci "$state/callgraph"
    ln -sf "$shared/bin/mpy-cross" "$state/bin"
    echo "$1 $(modules_key "$state/modules")" >"$state/plain.stamp"
}

frozen_key() {
    (cd "$1" && cat "$root/tools/build/firmware_digest.py" && sha256sum manifest_unix.py relay_unix.py tessera/*.py) |
        sha256sum
}

freeze_core() {
    local copy=$state/firmware
    rm -rf "$copy"
    mkdir -p "$copy/tessera"
    cp "$root"/firmware/{manifest_unix,relay_unix}.py "$copy"
    cp "$root"/firmware/tessera/*.py "$copy/tessera"
    "$python" "$root/tools/build/firmware_digest.py" "$copy/tessera" "$copy/tessera_build.py"
    forget_other_modules
    micropython unix "$state/modules" "$copy/manifest_unix.py" "$state/bin/micropython-tessera"
    echo "$(<"$state/plain.stamp") $(frozen_key "$copy")" >"$state/frozen.stamp"
}

# Which of the steps above have to be taken, by the keys that were computed.
find_stale_builds() {
    toolchain_stale='' plain_stale='' core_stale='' rp2_stale=''
    { is_fresh "$shared/toolchain.stamp" "$toolchain_key" && [ -x "$shared/bin/mpy-cross" ]; } ||
        toolchain_stale=1
    { is_fresh "$state/plain.stamp" "$plain_key" && [ -x "$state/bin/micropython" ] &&
        [ "$state/bin/mpy-cross" -ef "$shared/bin/mpy-cross" ]; } || plain_stale=1
    { is_fresh "$state/frozen.stamp" "$core_key" && [ -x "$state/bin/micropython-tessera" ]; } || core_stale=1
    [ -z "${want_image-}" ] ||
        { is_fresh "$shared/rp2.stamp" "$toolchain_key" && [ -z "$(missing_image_packages)" ]; } || rp2_stale=1
}

# --- Emulated board --------------------------------------------------------------------------------------------------

# The modules lie here and not in the tree. Node looks for them beside the path a program was started by, which is the
# link's (emulator/program.py says so to Node).
make_emulator() {
    local emulator=$state/emulator
    rm -rf "$emulator"
    mkdir -p "$emulator"
    cp "$root"/tools/emulator/{package.json,package-lock.json,.npmrc} "$emulator"
    (cd "$emulator" && npm ci)
    ln -s "$root/tools/emulator" "$emulator/source"
    echo "$1" >"$state/emulator.stamp"
}

# --- The steps -------------------------------------------------------------------------------------------------------

for wanted in "$@"; do
    case $wanted in
    image) want_image=1 ;;
    emulator) want_emulator=1 ;;
    fields) want_fields=1 ;;
    *) stop "unknown argument: $wanted" "Usage: tools/build/setup.sh [--where | image | emulator | fields]..." ;;
    esac
done
[[ $cache != *[[:space:]]* ]] || stop "the cache's path has a space, which MicroPython's makefiles do not bear: $cache" \
    "Set TESSERA_CACHE to another folder."
[ -f "$root/firmware/relay_unix.py" ] || stop "firmware/relay_unix.py is missing from this tree."
toolchain_key=$(sha256sum <"$root/tools/build/micropython.sh")
shared=$cache/micropython/${toolchain_key:0:8}
mkdir -p "$state" "$shared"
touch "$shared"
exec 8>"$cache/lock" 9>"$state/lock"
hold_tree

engine=$root/tools/build/nats-server.txt
venv_key=$({ cat "$root/pyproject.toml" "$engine" && declare -f find_python; } | sha256sum)
plain_key="$toolchain_key $(modules_key "$root/firmware/modules")"
core_key="$plain_key $(frozen_key "$root/firmware")"
{ is_fresh "$state/venv.stamp" "$venv_key" && [ -x "$venv/bin/python" ]; } || venv_stale=1
find_stale_builds
if [ -n "${want_emulator-}" ]; then
    emulator_key=$(cd "$root/tools/emulator" && sha256sum package.json package-lock.json .npmrc)
    { is_fresh "$state/emulator.stamp" "$emulator_key" && have node; } || emulator_stale=1
fi
[ -z "${want_fields-}" ] || [ -z "$(missing_field_packages)" ] || fields_stale=1
[ -n "${venv_stale-}${toolchain_stale-}${plain_stale-}${core_stale-}${rp2_stale-}${emulator_stale-}${fields_stale-}" ] ||
    exit 0

: >"$log"
install_packages
install_faketime
unpack_proxies
let_shared_go
python=$(find_python)
[ -n "$python" ] || stop "Python 3.11 or later with venv was not found." "Debian 12: apt-get install python3 python3-venv"
[ -z "${venv_stale-}" ] || step "making the virtual environment" make_venv "$venv_key"
[ -z "${emulator_stale-}" ] || step "fetching the emulator's Node.js modules" make_emulator "$emulator_key"
hold_shared
find_stale_builds # another tree's may have made what is shared
[ -z "${toolchain_stale-}" ] || step "building mpy-cross from Debian's source" make_toolchain "$toolchain_key"
[ -z "${rp2_stale-}" ] || step "fetching the sources that images of boards are made from" fetch_rp2_sources "$toolchain_key"
[ -z "${plain_stale-}" ] || step "building MicroPython's unix port with the C modules" build_plain "$toolchain_key"
[ -z "${core_stale-}" ] || step "freezing the relay core into MicroPython" freeze_core
say "ready ($SECONDS s)"
