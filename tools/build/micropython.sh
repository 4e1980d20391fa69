#!/bin/bash
# Builds MicroPython from Debian's source packages. Owns the recipe: which sources, how they are laid out, which options.
# setup.sh decides when; every change of this file makes it build anew.
#
#   micropython.sh toolchain DIR                      sources, and mpy-cross into DIR/bin
#   micropython.sh unix DIR MODULES MANIFEST OUTPUT   the unix port with the C modules of a folder and MANIFEST frozen in;
#                                                     DIR/manifest_plain.py is the one with nothing of ours
#   micropython.sh rp2-sources DIR                    what images of RP2040 and RP2350 boards need beside that
#   micropython.sh rp2 DIR BOARD_DIR MANIFEST BUILD   an image: BUILD/firmware.{bin,elf,elf.map}
#
#   micropython.sh esp32 DIR BOARD_DIR MANIFEST BUILD the same for chips of Espressif, in the environment of an ESP-IDF
#   micropython.sh date DIR                           the date that a build of this source bears, in Unix seconds
#
# MICROPY_DIR names another MicroPython (with its submodules) for images, an absolute path; of DIR they then use
# libsecp256k1 only.
set -euo pipefail

version=1.25.0
suite=trixie
# mbedtls: Debian strips MicroPython's submodules, and bookworm's 2.28 is too old for `tls`.
# libsecp256k1: bookworm's 0.2.0 lacks the fixes that keep GCC 13 and clang from making ECDH's time depend on the secret.
packages=(micropython mbedtls libsecp256k1)
rp2_packages=(lwip)
rp2_binary_packages=(pico-sdk-source tinyusb-source) # architecture "all": whole source trees

command=$1
base=$2
python=${PYTHON:-python3}

# The address of Debian's archive, as this machine's own apt knows it (whatever the format of its sources).
debian_mirror() {
    local codename
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    apt-get indextargets --no-release-info --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' |
        awk -v codename="$codename" '$1 == codename && $2 == "main" { print $3; exit }'
}

# Sources come from a newer release than the machine's: apt gets a private state that knows only that, so the machine's
# own lists stay as they are. apt checks signatures and digests of all it fetches.
fetch() { # source|binary FOLDER PACKAGE...
    local kind=$1 folder=$2 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg apt=$base/apt
    local -A line=([source]=deb-src [binary]=deb) get=([source]="source --download-only" [binary]=download)
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || { echo "No Debian archive (component main of this release) in apt's sources."; exit 1; }
    rm -rf "$apt" "$folder"
    mkdir -p "$apt"/{lists/partial,cache/archives/partial,parts} "$folder"
    : >"$apt/preferences"
    echo "${line[$kind]} [signed-by=$keyring] $mirror $suite main" >"$apt/sources.list"
    cat >"$apt/apt.conf" <<EOF
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/parts";
Dir::Etc::preferences "$apt/preferences";
Dir::Etc::preferencesparts "$apt/parts";
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
EOF
    (
        cd "$folder"
        export APT_CONFIG=$apt/apt.conf
        apt-get -q update
        # shellcheck disable=SC2086 # two words
        apt-get -q ${get[$kind]} "${@:3}"
    )
    rm -rf "$apt"
}

check_version() {
    ls "$base"/download/micropython_"$version"*.orig.tar.* ||
        { echo "Debian $suite no longer has MicroPython $version: adapt tools/micropython.sh."; exit 1; }
}

unpack() { # TARBALL FOLDER
    rm -rf "$2"
    mkdir -p "$2"
    tar xf "$1" --strip-components=1 -C "$2"
}

# Debian's MicroPython has an empty folder where the release has a submodule.
use_as_submodule() { # NAME FOLDER
    rm -rf "$base/source/lib/$1"
    ln -s "$2" "$base/source/lib/$1"
}

unpack_sources() {
    unpack "$base"/download/micropython_*.orig.tar.* "$base/source"
    unpack "$base"/download/mbedtls_*.orig.tar.* "$base/mbedtls"
    unpack "$base"/download/libsecp256k1_*.orig.tar.* "$base/secp256k1"
    use_as_submodule mbedtls "$base/mbedtls"
    mkdir -p "$base/micropython-lib"
    touch "$base/micropython-lib/README.md" # the makefile asks for this file before it freezes anything
}

# The date of a source, in Unix seconds: its commit's, as the files of a checkout are as old as the checkout; or, of an
# unpacked release, the one that the archive gives its files. A checkout may be another user's.
date_of() { # MICROPYTHON
    if [ -e "$1/.git" ]; then
        git -c safe.directory="$(realpath "$1")" -C "$1" log -1 --format=%ct
    else
        stat -c %Y "$1/py/mpconfig.h"
    fi
}

# The caller's variables (DEBUG, BUILD, MAKEFLAGS of `make run`) must not reach MicroPython's makefiles. The release's own
# date, not today's, goes into the binary.
clean_make() {
    local date
    date=$(date_of "$base/source")
    env -i PATH="$PATH" SOURCE_DATE_EPOCH="$date" MICROPY_GIT_TAG="v$version" \
        make -s -j"$(nproc)" PYTHON="$python" "$@"
}

# One build folder serves all binaries: between them only the frozen content and the modules differ, so another one takes
# seconds.
build_unix() { # MODULES MANIFEST OUTPUT
    local -a native=()
    [ "$(uname -m)" != x86_64 ] || native=(MPY_CROSS_FLAGS=-march=x64) # manifest_unix.py has the same condition
    copy_modules "$1"
    rm -rf "$base"/build-unix/frozen_{content.c,mpy}
    clean_make -C "$base/source/ports/unix" BUILD="$base/build-unix" MICROPY_PY_BTREE=0 \
        MPY_LIB_DIR="$base/micropython-lib" FROZEN_MANIFEST="$2" "${native[@]}" \
        USER_C_MODULES="$base/modules" SECP256K1_DIR="$base/secp256k1"
    install_program "$base/build-unix/micropython" "$3"
}

# make goes by times, trees differ in content: whatever differs, makefiles included, makes the whole copy new.
copy_modules() {
    diff -rq "$1" "$base/modules" >/dev/null 2>&1 && return
    rm -rf "$base/modules"
    cp -r "$1" "$base/modules"
}

unpack_rp2_sources() {
    local package
    unpack "$base"/rp2-download/source/lwip_*.orig.tar.* "$base/lwip"
    rm -rf "$base/rp2-source"
    for package in "$base"/rp2-download/binary/*.deb; do
        dpkg -x "$package" "$base/rp2-source"
    done
    use_as_submodule lwip "$base/lwip"
    use_as_submodule pico-sdk "$base/rp2-source/usr/src/pico-sdk"
    use_as_submodule tinyusb "$base/rp2-source/usr/src/tinyusb"
}

# Debian has the C++ run-time library for ARM as 313 MB that no relay calls: empty archives satisfy the linker.
make_stub_libraries() {
    local name
    mkdir -p "$base/stub-libraries"
    for name in stdc++ stdc++_nano supc++ supc++_nano; do
        rm -f "$base/stub-libraries/lib$name.a"
        ar rc "$base/stub-libraries/lib$name.a"
    done
}

# No path of this machine may reach the image, so that all machines build the same one. As above, the date is the
# release's, and its name is given, as git's depends on which tags a checkout has. (Flags come by the environment:
# CMAKE_C_FLAGS would replace those that name the processor.)
build_rp2() { # BOARD_DIR MANIFEST BUILD
    local board_dir=$1 manifest=$2 build=$3 micropython=${MICROPY_DIR:-$base/source} tree modules paths date
    tree=$(dirname "$(dirname "$board_dir")")
    modules=$tree/firmware/modules/micropython.cmake
    paths="-ffile-prefix-map=$build=build -ffile-prefix-map=$tree=tessera"
    paths+=" -ffile-prefix-map=$micropython=micropython -ffile-prefix-map=$base=."
    local -a options=(
        -DMICROPY_BOARD="$(basename "$board_dir")"
        -DMICROPY_BOARD_DIR="$board_dir"
        -DMICROPY_FROZEN_MANIFEST="$manifest"
        -DPICO_BUILD_DOCS=0
        -DPICO_NO_PICOTOOL=1
        -DCMAKE_EXE_LINKER_FLAGS="-L$base/stub-libraries"
    )
    date=$(date_of "$micropython")
    # MicroPython's generators walk through sets, whose order a fixed hash seed keeps the same in every build.
    local -a clean=(
        env -i PATH="$PATH" PYTHONHASHSEED=0 SOURCE_DATE_EPOCH="$date" MICROPY_GIT_TAG="v$version"
        CFLAGS="$paths" CXXFLAGS="$paths" ASMFLAGS="$paths"
    )
    [ -n "${MICROPY_DIR-}" ] || options+=(-DMICROPY_LIB_DIR="$base/micropython-lib")
    options+=(-DUSER_C_MODULES="$modules" -DSECP256K1_DIR="$base/secp256k1")
    "${clean[@]}" cmake -S "$micropython/ports/rp2" -B "$build" -G Ninja "${options[@]}"
    "${clean[@]}" ninja -C "$build" -j"$(nproc)"
}

# The IDF brings its compiler, so this cannot be done from packages: MICROPY_DIR is not optional. Never run here.
build_esp32() { # BOARD_DIR MANIFEST BUILD
    local board_dir=$1 manifest=$2 build=$3 modules
    modules=$(dirname "$(dirname "$board_dir")")/firmware/modules/micropython.cmake
    SOURCE_DATE_EPOCH=$(date_of "${MICROPY_DIR:?}")
    export SOURCE_DATE_EPOCH MICROPY_GIT_TAG="v$version" PYTHONHASHSEED=0
    make -C "$MICROPY_DIR/mpy-cross"
    make -C "$MICROPY_DIR/ports/esp32" BOARD_DIR="$board_dir" FROZEN_MANIFEST="$manifest" BUILD="$build" \
        CMAKE_ARGS="-DUSER_C_MODULES=$modules -DSECP256K1_DIR=$base/secp256k1"
}

# By renaming, so that a relay that runs the old program goes on undisturbed.
install_program() {
    cp "$1" "$2.new"
    mv "$2.new" "$2"
}

case $command in
toolchain)
    fetch source "$base/download" "${packages[@]}"
    check_version
    unpack_sources
    rm -rf "$base/build-unix"
    mkdir -p "$base/bin"
    clean_make -C "$base/source/mpy-cross"
    install_program "$base/source/mpy-cross/build/mpy-cross" "$base/bin/mpy-cross"
    echo 'include("$(MPY_DIR)/extmod/asyncio")' >"$base/manifest_plain.py"
    ;;
unix) build_unix "$3" "$4" "$5" ;;
rp2-sources)
    fetch source "$base/rp2-download/source" "${rp2_packages[@]}"
    fetch binary "$base/rp2-download/binary" "${rp2_binary_packages[@]}"
    unpack_rp2_sources
    make_stub_libraries
    ;;
rp2) build_rp2 "$3" "$4" "$5" ;;
esp32) build_esp32 "$3" "$4" "$5" ;;
date) date_of "$base" ;;
*)
    echo "unknown command: $command"
    exit 2
    ;;
esac
