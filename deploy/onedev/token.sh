#!/bin/sh
# Makes, on a OneDev that was just set up, the root project for mirrors and an access token that owns it and nothing
# else, and writes the token to a file. One shot: a token that is there and works is left alone.
#
#   ONEDEV_URL       http://onedev:6610
#   ONEDEV_USER      the administrator's login; admin without it
#   PASSWORD_FILE    holds the administrator's password
#   TOKEN_FILE       where the token goes
#   TOKEN_GROUP      number of the group that may read it besides the owner of the file; nobody without it
#   ROOT             the value of onedev.root; github without it
set -eu

: "${ONEDEV_URL:?}" "${PASSWORD_FILE:?}" "${TOKEN_FILE:?}"
user=${ONEDEV_USER:-admin}
root=${ROOT:-github}
# Of the role Project Owner on a server whose roles were not changed.
owner_role=1

say() { echo "onedev token: $*" >&2; }

fail() {
    say "$*"
    exit 1
}

# The body of a call to OneDev, by curl's own options. Credentials go in by standard input, never as arguments.
ask() {
    printf '%s\n' "$credentials" |
        curl --config - --silent --show-error --fail-with-body --max-time 30 \
            --header 'Content-Type: application/json' "$@"
}

works() {
    [ -s "$TOKEN_FILE" ] || return 1
    credentials=$(printf 'header = "Authorization: Bearer %s"' "$(cat "$TOKEN_FILE")")
    ask "$ONEDEV_URL/~api/projects/ids/$root" >/dev/null 2>&1
}

# While OneDev boots, something else answers on its port; only /readyz tells the two apart.
tries=0
until curl --silent --fail --output /dev/null --max-time 5 "$ONEDEV_URL/readyz"; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || fail "$ONEDEV_URL is not ready after 10 minutes"
    sleep 2
done

if works; then
    say "the token in $TOKEN_FILE works"
    exit 0
fi

password=$(sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' "$PASSWORD_FILE")
credentials=$(printf 'user = "%s:%s"' "$user" "$password")

person=$(ask "$ONEDEV_URL/~api/users/ids/$user") || fail "cannot sign in as $user: $person"

# Issues are off: nobody should open one in a mirror.
if ! project=$(ask "$ONEDEV_URL/~api/projects/ids/$root" 2>/dev/null); then
    project=$(ask --data "{\"name\":\"$root\",\"codeManagement\":true,\"issueManagement\":false,
        \"gitPackConfig\":{},\"codeAnalysisSetting\":{}}" "$ONEDEV_URL/~api/projects") ||
        fail "cannot make the project $root: $project"
    say "made the project $root"
fi

# A name may be used once, and a run that was cut off may have used one.
name="starkeep $(date -u +%Y-%m-%d) $(od -An -N4 -tx1 /dev/urandom | tr -d ' \n')"
token=$(ask --data "{\"name\":\"$name\",\"ownerId\":$person,\"hasOwnerPermissions\":false}" \
    "$ONEDEV_URL/~api/access-tokens") || fail "cannot make a token: $token"
answer=$(ask --data "{\"tokenId\":$token,\"projectId\":$project,\"roleId\":$owner_role}" \
    "$ONEDEV_URL/~api/access-token-authorizations") || fail "cannot authorize the token: $answer"
value=$(ask "$ONEDEV_URL/~api/access-tokens/$token" | sed -n 's/.*"value" *: *"\([^"]*\)".*/\1/p')
[ -n "$value" ] || fail "OneDev did not tell the token's value"

umask 077
rm -f "$TOKEN_FILE.new"
printf '%s\n' "$value" >"$TOKEN_FILE.new"
if [ -n "${TOKEN_GROUP:-}" ]; then
    chown ":$TOKEN_GROUP" "$TOKEN_FILE.new"
    chmod 440 "$TOKEN_FILE.new"
fi
mv "$TOKEN_FILE.new" "$TOKEN_FILE"
works || fail "the new token does not see $root"
say "wrote the token \"$name\" to $TOKEN_FILE"
