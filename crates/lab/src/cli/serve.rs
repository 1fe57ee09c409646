//! `up`: holds a lab, does what the other commands ask, and ends it.

use std::{fmt::Write as _, sync::Arc, time::Instant};

use millpond_lab::Lab;
use tokio::{
    net::UnixStream,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};

use super::{
    CliError,
    args::Up,
    control::{self, Control},
    operation::Operation,
    say,
};

/// The ways to be told to end.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Ends {
    fn listen() -> Result<Self, CliError> {
        let on = |kind| signal(kind).map_err(CliError::io("cannot listen for signals"));
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
            _ = self.hangup.recv() => (),
        }
    }
}

pub(crate) async fn up(name: &str, up: &Up) -> Result<(), CliError> {
    if up.in_background {
        // A terminal that closes must not end it.
        let _ = rustix::process::setsid();
    }
    let builder = up.builder()?;
    let mut ends = Ends::listen()?;
    let control = Control::listen(name)?;
    let start = Instant::now();
    let lab = tokio::select! {
        lab = builder.up() => lab?,
        () = ends.any() => return Ok(()),
    };
    say(&welcome(name, &lab, start, up));
    let lab = Arc::new(lab);
    let asker = serve(&lab, &control, &mut ends).await;
    // Nobody else holds it: the tasks that did are gone.
    let ended = match Arc::try_unwrap(lab) {
        Ok(lab) => lab.down().await,
        Err(_) => Ok(()),
    };
    drop(control);
    if let Some(stream) = asker {
        let answer = ended.as_ref().map(|()| String::new()).map_err(ToString::to_string);
        control::answer(stream, answer).await;
    }
    Ok(ended?)
}

/// Serves until a signal or a client says that it is enough; that client waits for the answer.
async fn serve(lab: &Arc<Lab>, control: &Control, ends: &mut Ends) -> Option<UnixStream> {
    let (enough, mut told) = mpsc::channel(1);
    let mut tasks = JoinSet::new();
    let asker = loop {
        tokio::select! {
            () = ends.any() => break None,
            asker = told.recv() => break asker,
            accepted = control.listener.accept() => if let Ok((stream, _)) = accepted {
                tasks.spawn(serve_one(Arc::clone(lab), stream, enough.clone()));
            },
            Some(_) = tasks.join_next() => (),
        }
    };
    tasks.shutdown().await;
    asker
}

async fn serve_one(lab: Arc<Lab>, mut stream: UnixStream, enough: mpsc::Sender<UnixStream>) {
    let result = match control::receive(&mut stream).await {
        Ok(Operation::Down) => {
            // When it fails, another client was faster.
            let _ = enough.send(stream).await;
            return;
        }
        Ok(operation) => operation.run(&lab).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    control::answer(stream, result).await;
}

fn welcome(name: &str, lab: &Lab, start: Instant, up: &Up) -> String {
    let this = if name == "default" { String::new() } else { format!(" --name {name}") };
    let seconds = start.elapsed().as_secs_f64();
    // Writing to a String cannot fail.
    let mut text = format!("The lab `{name}` is up after {seconds:.1} s.\n\n  {}\n\n", lab.url("postgres"));
    for node in lab.nodes() {
        let role = if node.name() == lab.primary().name() { "primary" } else { "replica" };
        let (port, direct) = (node.port(), node.direct_port());
        let _ =
            writeln!(text, "  {:<8} {role}  127.0.0.1:{port}  (the server itself: {direct})", node.name());
    }
    let _ = writeln!(text, "\n  folder   {}\n\nIn another terminal, for example:\n", lab.folder().display());
    let last = lab.nodes()[lab.nodes().len() - 1].name();
    for command in
        ["status", "delay NODE 2000", "pause NODE", "freeze NODE", "net NODE stall", "promote NODE"]
    {
        if up.replicas > 0 || !command.contains("NODE") {
            let _ = writeln!(text, "  millpond-lab{this} {}", command.replace("NODE", last));
        }
    }
    let _ = write!(text, "\nmillpond-lab --help has the rest. ");
    let _ = write!(text, "Ctrl-C, or `millpond-lab{this} down`, ends it and removes everything.");
    text
}
