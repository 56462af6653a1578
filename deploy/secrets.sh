#!/bin/sh
# Makes the secrets that podman-compose.yml takes, one file each, below FOLDER (./secrets without it). What is there
# stays as it is. The one thing it cannot make is a token of GitHub: it is read from the terminal.
set -eu

folder=${1:-secrets}
mkdir -p "$folder"
# The processes in the containers are other users than you, so the files can be read by all who reach them: nobody
# else passes through the folder.
chmod 700 "$folder"

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }

# Name, and the text; nothing that stands is written over.
put() {
    [ -s "$folder/$1" ] || printf '%s\n' "$2" >"$folder/$1"
    chmod 644 "$folder/$1"
}

put postgres_password "$(random)"
put database_url "postgres://starkeep:$(cat "$folder/postgres_password")@postgres:5432/starkeep"
put onedev_password "$(random)"
put github_webhook_secret "$(random)"
put admin_token "$(random)"
put grafana_password "$(random)"

if [ ! -s "$folder/github_token" ]; then
    if [ ! -t 0 ]; then
        echo "put a token of GitHub into $folder/github_token (docs/github-app.md), and run this again" >&2
        exit 1
    fi
    printf 'A token of GitHub (docs/github-app.md; it is not shown): ' >&2
    stty -echo
    trap 'stty echo' EXIT
    read -r token
    echo >&2
    [ -n "$token" ] || exit 1
    put github_token "$token"
fi
chmod 644 "$folder/github_token"
echo "$folder holds: $(cd "$folder" && echo *)" >&2
