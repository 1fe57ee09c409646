//! Bringing a lab up.

mod parent;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
};

use tokio::{sync::Mutex, task::JoinSet};

use super::Lab;
use crate::{
    LabBuilder, LabError, Network, Node,
    background::{Background, run},
    binaries::Binaries,
    error::Phase,
    guardian::Guardian,
    host::{Host, Member, Shared, at},
    network::Target,
    ports,
    server::Server,
    settings, tools,
    user::{self, User},
};

/// The listeners of one node: for clients, and for its own replication.
type Listeners = (TcpListener, TcpListener);

impl Lab {
    pub(crate) async fn up(builder: LabBuilder) -> Result<Self, LabError> {
        let lab = Self::prepare(&builder)?;
        let first = lab.host(0);
        // `lab` stays here: when this future is dropped, it goes and takes with it what was started.
        let replication = builder.replication;
        let LabBuilder { settings, passwords, .. } = builder;
        run(lab.nodes[0].handle(), async move {
            let conf = settings::common(&first.shared.socket_setting(), replication, &settings);
            let access = settings::access(passwords.iter().map(|(user, _)| user.as_str()));
            start_primary(&first, &conf, &access).await?;
            make_users(&first, &passwords).await?;
            start_replicas(&first).await
        })
        .await?;
        Ok(lab)
    }

    /// Everything but the servers. From the start of the guardian on, nothing is left behind.
    fn prepare(builder: &LabBuilder) -> Result<Self, LabError> {
        let binaries = Binaries::find(builder.binaries.as_deref())?;
        let user = User::find()?;
        let parent = parent::folder(builder)?;
        let id = format!("millpond-lab-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let folder = parent.join(id);
        let names = builder.node_names();
        let mut listeners = Vec::new();
        let mut members = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            let pair = listen(builder.port, index, &name)?;
            members.push(member(builder, &folder, name, &pair)?);
            listeners.push(pair);
        }
        let guardian = Guardian::start(&folder, builder.folder)?;
        make_folder(&folder, user)?;
        let shared = Arc::new(Shared {
            folder,
            binaries,
            user,
            patience: builder.patience,
            tls: builder.tls.clone(),
            members,
            primary: AtomicUsize::new(0),
        });
        for member in &shared.members {
            make_folder(&member.folder, user)?;
            write_certificate(&shared, &member.folder)?;
        }
        let background = Background::start()
            .map_err(|source| LabError::Spawn { program: PathBuf::from("a thread"), source })?;
        let nodes = open(&shared, &background, listeners);
        Ok(Self { nodes, shared, guardian, background: Some(background) })
    }
}

impl Node {
    pub(super) fn handle(&self) -> &tokio::runtime::Handle {
        &self.handle
    }
}

fn make_folder(folder: &Path, user: Option<User>) -> Result<(), LabError> {
    fs::create_dir(folder).map_err(at("cannot make the folder", folder))?;
    user::give(user, folder)
}

fn listen(first: Option<u16>, index: usize, node: &str) -> Result<Listeners, LabError> {
    // `check` has seen to it that the last port is one.
    let port = first.map_or(0, |first| first.saturating_add(u16::try_from(index).unwrap_or(u16::MAX)));
    let failed = |port| move |source| LabError::Port { node: node.to_owned(), port, source };
    let clients = ports::listen(port).map_err(failed(port))?;
    let replication = ports::listen(0).map_err(failed(0))?;
    Ok((clients, replication))
}

fn member(
    builder: &LabBuilder,
    folder: &Path,
    name: String,
    (clients, replication): &Listeners,
) -> Result<Member, LabError> {
    let failed = |source| LabError::Port { node: name.clone(), port: 0, source };
    let settings = builder.node_settings.iter().filter(|(node, _)| *node == name);
    let settings = settings.map(|(_, setting)| setting.clone()).collect();
    let direct_port = ports::free().ok_or_else(|| failed(std::io::ErrorKind::AddrInUse.into()))?;
    Ok(Member {
        network: Network::new(clients).map_err(failed)?,
        replication: Network::new(replication).map_err(failed)?,
        folder: folder.join(&name),
        settings,
        direct_port: AtomicU16::new(direct_port),
        upstream: AtomicUsize::new(0),
        server: Mutex::new(Server::default()),
        name,
    })
}

/// Lets the relays accept.
fn open(shared: &Arc<Shared>, background: &Background, listeners: Vec<Listeners>) -> Vec<Node> {
    let handle = background.handle();
    let nodes = listeners.into_iter().enumerate().map(|(index, (clients, replication))| {
        let host = Host { shared: Arc::clone(shared), index };
        let own = host.clone();
        host.member().network.run(handle, clients, Target::new(move || own.direct_port()));
        let own = host.clone();
        let upstream = move || own.other(own.member().upstream.load(Ordering::Acquire)).direct_port();
        host.member().replication.run(handle, replication, Target::new(upstream));
        Node { host, handle: handle.clone() }
    });
    nodes.collect()
}

fn write_certificate(shared: &Shared, folder: &Path) -> Result<(), LabError> {
    let Some((certificate, key)) = &shared.tls else { return Ok(()) };
    for (name, text) in [("server.crt", certificate), ("server.key", key)] {
        let path = folder.join(name);
        fs::write(&path, text).map_err(at("cannot write", &path))?;
        // PostgreSQL refuses a key that others can read.
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, mode).map_err(at("cannot protect", &path))?;
        user::give(shared.user, &path)?;
    }
    Ok(())
}

async fn start_primary(first: &Host, conf: &str, access: &str) -> Result<(), LabError> {
    let data = first.data();
    let mut arguments: Vec<_> =
        ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]
            .into_iter()
            .map(std::ffi::OsString::from)
            .collect();
    arguments.push(data.clone().into_os_string());
    tools::run(&first.shared, first.name(), Phase::InitDb, "initdb", arguments).await?;
    let file = data.join("postgresql.conf");
    let text = fs::read_to_string(&file).map_err(at("cannot read", &file))?;
    fs::write(&file, text + conf).map_err(at("cannot write", &file))?;
    let file = data.join("pg_hba.conf");
    fs::write(&file, access).map_err(at("cannot write", &file))?;
    first.member().server.lock().await.start(first).await
}

async fn make_users(first: &Host, passwords: &[(String, String)]) -> Result<(), LabError> {
    for (user, password) in passwords {
        let (name, password) = (settings::identifier(user), settings::literal(password));
        let sql = format!(
            "set password_encryption = 'scram-sha-256'; create role {name} login password {password}"
        );
        first.ask(Phase::Configure, &sql).await?;
    }
    Ok(())
}

/// All replicas at once: each is copied, started, and seen to stream.
async fn start_replicas(first: &Host) -> Result<(), LabError> {
    let mut starting = JoinSet::new();
    for index in 1..first.shared.members.len() {
        let (host, first) = (first.other(index), first.clone());
        starting.spawn(async move {
            host.copy_from(&first).await?;
            host.member().server.lock().await.start(&host).await?;
            host.streams_from(&first, host.shared.patience).await
        });
    }
    while let Some(ended) = starting.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => return Err(LabError::Down),
        }
    }
    Ok(())
}
