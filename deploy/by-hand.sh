#!/usr/bin/env bash
# Runs the build steps of the Containerfile without a container engine: what the image would hold comes to lie below
# FOLDER, and is checked as far as it can be without the base image. Needs what the build stage has: Rust, a C compiler,
# perl and make.
#
#   deploy/by-hand.sh FOLDER
set -euo pipefail

if (($# != 1)); then
    echo "usage: deploy/by-hand.sh FOLDER" >&2
    exit 2
fi
image=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The steps are read from the Containerfile itself, so that this cannot drift from it: every RUN of the build stage,
# without its cache mounts, with FOLDER for /image.
steps() {
    awk '
        /^FROM / { stage++ }
        stage != 1 { next }
        /^ENV /  { sub(/^ENV /, "export "); print; next }
        /^RUN /  { sub(/^RUN /, ""); running = 1 }
        /^ *#/   { next }
        running {
            gsub(/--mount=[^ ]+ */, "")
            more = sub(/\\$/, "")
            printf "%s ", $0
            if (!more) { print ""; running = 0 }
        }
    ' Containerfile
}

script=$(steps)
script=${script//\/image/$image}
script=${script//target\/release/${CARGO_TARGET_DIR:-target}\/release}
printf '%s\n' "$script"
bash -euo pipefail -c "$script"

# The libraries of the base image.
for program in starkeep ready; do
    foreign=$(ldd "$image/files/usr/local/bin/$program" | awk '{ print $1 }' |
        grep -vE '^(linux-vdso|/lib.*/ld-linux|lib(c|m|gcc_s|dl|rt|pthread)\.so)' || true)
    if [[ -n $foreign ]]; then
        echo "$program needs what the image does not have: $foreign" >&2
        exit 1
    fi
done

"$image/files/usr/local/bin/starkeep" --version
"$image/files/usr/local/bin/starkeep" demo --once >/dev/null
if STARKEEP__SERVER__BIND=127.0.0.1:9 "$image/files/usr/local/bin/ready" 2>/dev/null; then
    echo "ready says that nobody is ready" >&2
    exit 1
fi
du -sh "$image"
