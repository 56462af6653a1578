//! The binary from exec to its first answer, and what it holds while nothing happens.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::postgres;
use crate::support::child::{self, Service};
use crate::support::report::{Samples, at_most, line, megabytes, seconds};
use crate::support::rounds;
use crate::support::stage::{self, Stage};

/// How long it does nothing before its memory is looked at.
const IDLE: Duration = Duration::from_secs(5);

pub(crate) fn run() -> anyhow::Result<()> {
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_starkeep"))?.len();
    line("the binary", &megabytes(binary as f64));
    let stage = Stage::set()?;
    measure(&stage, "SQLite", |folder| Some((stage::sqlite(folder), None)))?;
    measure(&stage, "Postgres", |_| postgres::fresh().map(|it| (it.url.clone(), Some(it))))
}

/// A database's address, and what keeps it.
type Database = Option<(String, Option<postgres::Fresh>)>;

fn measure(stage: &Stage, name: &str, database: impl Fn(&Path) -> Database) -> anyhow::Result<()> {
    let (mut fresh, mut again) = (Samples::default(), Samples::default());
    let (mut all, mut own, mut threads) = (Samples::default(), Samples::default(), 0);
    for round in 0..rounds(5) {
        let folder = child::scratch()?;
        let Some((url, _kept)) = database(folder.path()) else {
            line(name, "not measured: there is none");
            return Ok(());
        };
        let config = stage.config_file(folder.path(), &url, "")?;
        for times in [&mut fresh, &mut again] {
            let service = Service::start(&config, folder.path())?;
            ready(&service)?;
            times.add_time(service.began.elapsed());
            if round < 2 {
                std::thread::sleep(IDLE);
                let (resident, anonymous) = child::memory(service.id());
                all.add(resident as f64);
                own.add(anonymous as f64);
                threads = std::fs::read_dir(format!("/proc/{}/task", service.id()))?.count();
            }
        }
    }
    line(&format!("{name}: exec to /readyz 200, new database"), &fresh.seconds());
    line(&format!("{name}: exec to /readyz 200, its own database"), &again.seconds());
    at_most(&format!("{name}: the slowest of them"), fresh.max().max(again.max()), 1.0, seconds);
    at_most(&format!("{name}: idle memory"), all.max(), 30e6, megabytes);
    line(&format!("{name}: of it not backed by a file"), &format!("{}, {threads} threads", megabytes(own.max())));
    Ok(())
}

fn ready(service: &Service) -> anyhow::Result<()> {
    let host = service.address.strip_prefix("http://").unwrap_or(&service.address);
    let mut stream = TcpStream::connect(host)?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "not ready: {answer}");
    Ok(())
}
