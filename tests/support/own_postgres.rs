//! A Postgres that one test may stop, crash and start again: a cluster of its own, at one address all the time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::postgres::{binaries, is_required, say_untested, unprivileged};

/// The cluster. It ends with this value, or with this process.
pub(crate) struct Own {
    /// The address of its one database.
    pub(crate) url: String,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    _cluster: Child,
}

/// Says `ready` when it takes connections; stops the server by the signal that it reads and starts it again; takes
/// it down when its input ends. What was committed is in the files, which a crash of the server leaves alone.
const SCRIPT: &str = r#"
dir=$(mktemp -d /tmp/starkeep-pg-XXXXXX) || exit 1
begin() {
    "$1/postgres" -D "$dir/data" -c listen_addresses=127.0.0.1 -c port="$2" -c unix_socket_directories="$dir" \
        -c fsync=off -c max_connections=200 >>"$dir/log" 2>&1 </dev/null &
    server=$!
    until "$1/pg_isready" -q -h "$dir" -p "$2" -U postgres; do
        kill -0 $server 2>/dev/null || { tail -n 5 "$dir/log"; rm -rf "$dir"; exit 1; }
        sleep 0.1
    done
    echo ready
}
"$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 || exit 1
begin "$1" "$2"
while read -r signal; do
    kill -"$signal" $server
    wait $server
    begin "$1" "$2"
done
kill -INT $server
wait $server
rm -rf "$dir"
"#;

impl Own {
    /// Starts one; `None` where Postgres is not installed, after saying so loudly. That is a failure where one is
    /// required and none is named: the named one is not ours to stop.
    pub(crate) fn start() -> Option<Self> {
        let bin = match binaries() {
            Ok(bin) => bin,
            Err(why) => {
                say_untested("A Postgres that goes down", &why);
                let is_named = std::env::var_os("STARKEEP_TEST_POSTGRES").is_some();
                assert!(is_named || !is_required(), "STARKEEP_REQUIRE_POSTGRES is set, but there is none: {why}");
                return None;
            }
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut shell = unprivileged().unwrap();
        shell.args(["-c", SCRIPT, "sh"]).arg(bin).arg(port.to_string());
        shell.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let mut cluster = shell.spawn().unwrap();
        let (commands, answers) = (cluster.stdin.take().unwrap(), BufReader::new(cluster.stdout.take().unwrap()));
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
        let mut own = Self { url, commands, answers, _cluster: cluster };
        own.wait();
        Some(own)
    }

    /// Connections are cut, and what is under way is given up; then it is there again.
    pub(crate) fn restart(&mut self) {
        self.again("INT");
    }

    /// The same without any good-bye: it has to recover from its log.
    pub(crate) fn crash(&mut self) {
        self.again("QUIT");
    }

    fn again(&mut self, signal: &str) {
        writeln!(self.commands, "{signal}").unwrap();
        self.wait();
    }

    fn wait(&mut self) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
    }
}
