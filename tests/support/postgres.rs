//! A Postgres for tests: the one that `STARKEEP_TEST_POSTGRES` names, else a throw-away cluster of
//! the installed binaries, one for each test process, that ends with it.
//!
//! Taken in with `#[cfg(test)] #[path = "…"] mod postgres;`. [`fresh`] gives each test a database of
//! its own, or `None` after saying loudly what is not tested; `STARKEEP_REQUIRE_POSTGRES=1` makes
//! that a failure. As root it installs the package where apt-get can, unless
//! `STARKEEP_INSTALL_POSTGRES=0`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::{Connection as _, PgConnection, connection::SimpleConnection as _};

/// A database of one test; dropped with it.
pub(crate) struct Fresh {
    /// Its address.
    pub(crate) url: String,
    name: String,
    server: &'static str,
}

/// Where databases can be made, as an address up to and without the final `/NAME`; or why nowhere.
struct Server {
    base: Result<String, String>,
    /// Its standard input is the pipe whose end stops the cluster: it closes when this process ends,
    /// however it ends.
    _cluster: Option<Child>,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static COUNT: AtomicU32 = AtomicU32::new(0);

/// An empty database.
pub(crate) fn fresh() -> Option<Fresh> {
    let server = SERVER.get_or_init(|| {
        let server = find();
        if let Err(why) = &server.base {
            say_untested("Postgres", &format!("{why}\n!!! Name one in STARKEEP_TEST_POSTGRES."));
        }
        server
    });
    let base = match &server.base {
        Ok(base) => base.as_str(),
        Err(why) if is_required() => panic!("STARKEEP_REQUIRE_POSTGRES is set, but there is none: {why}"),
        Err(_) => return None,
    };
    let name = format!("starkeep_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    administer(base, &format!("CREATE DATABASE {name} TEMPLATE template0")).unwrap();
    Some(Fresh { url: named(base, &name), name, server: base })
}

/// Not by `eprintln!`, which the test harness swallows when the test passes.
pub(crate) fn say_untested(what: &str, why: &str) {
    let _ = std::io::stderr().write_all(format!("\n!!! {what} is NOT TESTED: {why}\n\n").as_bytes());
}

pub(crate) fn is_required() -> bool {
    std::env::var_os("STARKEEP_REQUIRE_POSTGRES").is_some_and(|it| it == "1")
}

impl Drop for Fresh {
    fn drop(&mut self) {
        let _ = administer(self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

impl Fresh {
    /// Runs statements in this database, beside whatever else uses it.
    pub(crate) fn run(&self, sql: &str) {
        PgConnection::establish(&self.url).unwrap().batch_execute(sql).unwrap();
    }
}

fn administer(base: &str, sql: &str) -> Result<(), String> {
    let mut c = PgConnection::establish(&named(base, "postgres")).map_err(|e| e.to_string())?;
    c.batch_execute(sql).map_err(|e| e.to_string())
}

/// The address with a database's name put in, before the options if there are some.
fn named(base: &str, name: &str) -> String {
    match base.split_once('?') {
        Some((front, options)) => format!("{front}/{name}?{options}"),
        None => format!("{base}/{name}"),
    }
}

fn find() -> Server {
    if let Ok(url) = std::env::var("STARKEEP_TEST_POSTGRES") {
        let (front, options) = url.split_once('?').map_or((url.as_str(), ""), |(front, options)| (front, options));
        let (scheme, rest) = front.split_once("://").unwrap_or(("postgres", front));
        let authority = rest.split('/').next().unwrap_or_default();
        let tail = if options.is_empty() { String::new() } else { format!("?{options}") };
        return Server { base: Ok(format!("{scheme}://{authority}{tail}")), _cluster: None };
    }
    match binaries().and_then(|bin| start(&bin)) {
        Ok((base, cluster)) => Server { base: Ok(base), _cluster: Some(cluster) },
        Err(why) => Server { base: Err(why), _cluster: None },
    }
}

/// The folder of `initdb` and `postgres`, which distributions keep out of the PATH.
pub(crate) fn binaries() -> Result<PathBuf, String> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    if !is_root() || std::env::var_os("STARKEEP_INSTALL_POSTGRES").is_some_and(|it| it == "0") {
        return Err("none is installed (Debian and Ubuntu: apt-get install postgresql)".to_owned());
    }
    // Several test processes start at once; one installs, the others wait for it.
    let lock = std::env::temp_dir().join("starkeep-install-postgres.lock");
    let lock = std::fs::File::create(&lock).map_err(|e| format!("{}: {e}", lock.display()))?;
    lock.lock().map_err(|e| e.to_string())?;
    if installed().is_none() {
        let script = "apt-get update -q && apt-get install -qy --no-install-recommends postgresql";
        let mut install = Command::new("sh");
        install.args(["-c", script]).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
        let done = install.output().map_err(|e| e.to_string())?;
        if !done.status.success() {
            return Err(format!("none is installed and apt-get failed: {}", String::from_utf8_lossy(&done.stderr)));
        }
    }
    installed().ok_or_else(|| "none is installed".to_owned())
}

fn installed() -> Option<PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").output().ok();
    let told = told.and_then(|it| String::from_utf8(it.stdout).ok()).map(|it| PathBuf::from(it.trim()));
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|it| it.path().join("bin"))
        .collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    told.into_iter()
        .chain(versions.into_iter().rev())
        .chain(std::env::split_paths(&path))
        .find(|it| it.join("initdb").is_file() && it.join("postgres").is_file())
}

fn is_root() -> bool {
    id(&["-u"]).is_some_and(|it| it == "0")
}

fn id(arguments: &[&str]) -> Option<String> {
    let told = Command::new("id").args(arguments).output().ok().filter(|it| it.status.success())?;
    Some(String::from_utf8(told.stdout).ok()?.trim().to_owned())
}

/// Tests outlive no power cut, so nothing has to be on disk. Benchmarks, which cargo starts with
/// `--bench`, measure how long that takes.
fn durability() -> &'static str {
    let measuring = std::env::args().any(|it| it == "--bench");
    if measuring { "" } else { "-c fsync=off -c synchronous_commit=off -c full_page_writes=off" }
}

/// Makes a cluster, says `ready` when it takes connections, and takes it down when its input ends.
const SCRIPT: &str = r#"
dir=$(mktemp -d /tmp/starkeep-pg-XXXXXX) || exit 1
fail() { tail -n 5 "$dir/log" | tr '\n' ' '; echo; rm -rf "$dir"; exit 1; }
"$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1 || fail
"$1/postgres" -D "$dir/data" -c listen_addresses=127.0.0.1 -c port="$2" -c unix_socket_directories="$dir" \
    $3 -c max_connections=400 \
    -c shared_buffers=64MB >"$dir/log" 2>&1 </dev/null &
server=$!
tries=0
until "$1/pg_isready" -q -h "$dir" -p "$2" -U postgres; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ] || ! kill -0 $server 2>/dev/null; then kill $server 2>/dev/null; fail; fi
    sleep 0.1
done
echo ready
cat >/dev/null
kill -INT $server
wait $server
rm -rf "$dir"
"#;

fn start(bin: &Path) -> Result<(String, Child), String> {
    let mut why = String::new();
    // A port that is free now may be taken a moment later.
    for _ in 0..3 {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).map_err(|e| e.to_string())?.port();
        match start_on(bin, port) {
            Ok(cluster) => return Ok((format!("postgres://postgres@127.0.0.1:{port}"), cluster)),
            Err(e) => why = e,
        }
    }
    Err(format!("the throw-away cluster of {} did not start: {why}", bin.display()))
}

fn start_on(bin: &Path, port: u16) -> Result<Child, String> {
    let mut shell = unprivileged()?;
    shell.args(["-c", SCRIPT, "sh"]).arg(bin).arg(port.to_string()).arg(durability());
    shell.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    // Out of reach of the terminal's Ctrl-C: it has to clean up after us.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    let mut cluster = shell.spawn().map_err(|e| e.to_string())?;
    let mut said = String::new();
    let output = cluster.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut said).map_err(|e| e.to_string())?;
    if said.trim() == "ready" { Ok(cluster) } else { Err(said.trim().to_owned()) }
}

/// A shell as a user that Postgres agrees to run as: it refuses root.
pub(crate) fn unprivileged() -> Result<Command, String> {
    if !is_root() {
        return Ok(Command::new("sh"));
    }
    let user = ["postgres", "nobody"].into_iter().find(|it| id(&["-u", it]).is_some());
    let user = user.ok_or("there is no user to run it as")?;
    let (uid, gid) = (id(&["-u", user]).unwrap_or_default(), id(&["-g", user]).unwrap_or_default());
    let mut command = Command::new("setpriv");
    if command.arg("--version").stdout(Stdio::null()).status().is_ok_and(|it| it.success()) {
        command = Command::new("setpriv");
        command.args([&format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups", "sh"]);
    } else {
        command = Command::new("runuser");
        command.args(["-u", user, "--", "sh"]);
    }
    Ok(command)
}
