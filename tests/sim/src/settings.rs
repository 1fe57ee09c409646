//! How a run goes.

use std::fmt;
use std::time::Duration;

/// What is simulated, and for how long.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "what can be said of a run")]
pub struct Settings {
    /// What commits wait for.
    pub profile: Profile,
    /// The servers of the cluster: a primary and its replicas.
    pub nodes: usize,
    /// Further names that processes know. Nobody is there until a [`Step`] puts a copy or a stranger there.
    pub spares: usize,
    /// How many processes have a handle.
    pub processes: usize,
    /// How many clients there are, over all processes.
    pub clients: usize,
    /// How long a client rests between two visits, on average.
    pub think: Duration,
    /// How long it all takes, in virtual time.
    pub length: Duration,
    /// What goes wrong.
    pub faults: Faults,
    /// What is done wrong on purpose, to see that it is found.
    pub lie: Option<Lie>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: Profile::Synchronous,
            nodes: 3,
            spares: 1,
            processes: 2,
            clients: 24,
            think: Duration::from_millis(400),
            length: Duration::from_secs(60),
            faults: Faults::Scripted(Vec::new()),
            lie: None,
        }
    }
}

impl Settings {
    /// How the last part of each round is left alone, for all to be well again. It is not looked at before [`Settings::SETTLE`].
    pub const QUIET: Duration = Duration::from_secs(30);

    /// How long it takes until all is well, when nothing goes wrong any more.
    pub const SETTLE: Duration = Duration::from_secs(18);

    /// How many nodes a process knows.
    #[must_use]
    pub const fn names(&self) -> usize {
        self.nodes + self.spares
    }
}

/// What the servers promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a commit waits for a replica or it does not")]
pub enum Profile {
    /// A commit waits until a replica has it, and the most advanced one is promoted.
    Synchronous,
    /// A commit waits for nobody, and any replica is promoted.
    Asynchronous,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Synchronous => "synchronous",
            Self::Asynchronous => "asynchronous",
        })
    }
}

/// What goes wrong, and when.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "by a list or by chance")]
pub enum Faults {
    /// These steps. Before the last part all is mended.
    Scripted(Vec<(Duration, Step)>),
    /// What chance brings, one after the other and several at a time. After so long all is mended and left alone for a while, and then
    /// it begins again.
    Random(Duration),
}

/// Something that is done to the cluster. Nodes and processes go by their number.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Step {
    /// A server dies. A replica begins again so much further back than it was.
    Crash(usize, Duration),
    /// A server is started: where it was if its timeline is the present one, and rewound to be a replica otherwise.
    Start(usize),
    /// A server that was primary is started as it was, whatever became of the others since.
    StartAsPrimary(usize),
    /// A server answers nothing any more.
    Freeze(usize),
    /// It goes on.
    Thaw(usize),
    /// A replica shows nothing new.
    PauseReplay(usize),
    /// It goes on.
    ResumeReplay(usize),
    /// A replica shows what it has received so much later.
    DelayReplay(usize, Duration),
    /// A replica receives nothing.
    Disconnect(usize),
    /// It goes on, from the present primary.
    Follow(usize),
    /// A replica becomes the primary. Without a number the operator takes one as the profile has it.
    Promote(Option<usize>),
    /// The primary ends in order, when all replicas have what it has written.
    Stop(usize),
    /// A spare shows up as a restored copy on a higher timeline, which takes writes and is followed by nothing.
    Restore(usize),
    /// A spare shows up as a server of another cluster.
    Stranger(usize),
    /// A spare is gone.
    Vanish(usize),
    /// One process does not get through to a node.
    Cut {
        /// Which process.
        process: usize,
        /// Which node.
        node: usize,
    },
    /// It does again.
    Mend {
        /// Which process.
        process: usize,
        /// Which node.
        node: usize,
    },
    /// The names of two nodes are exchanged: what is connected stays, what connects leads to the other one.
    Exchange(usize, usize),
    /// Some messages take up to so long.
    SlowNetwork(Duration),
    /// A process ends, and begins again knowing nothing.
    Restart(usize),
    /// A process sends everything to the primary, or no longer.
    PrimaryOnly(usize, bool),
    /// All that is wrong is mended.
    Heal,
}

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lie {
    /// Reads are decided as if nothing had been written.
    ForgetsWrites,
    /// Tokens are taken and not heeded.
    ForgetsTokens,
    /// Reads are decided as if any age would do.
    ForgetsAge,
    /// Reads are decided as if a replica might be any number of bytes behind.
    ForgetsDistance,
    /// Reads are decided as if none had shown anything before.
    ForgetsReads,
    /// A replica that served the last read counts as showing as much, whatever became of it since.
    IgnoresCrashes,
    /// A replica counts as on the timeline of the primary, whatever it says.
    IgnoresReplicaTimeline,
    /// Who says that it takes writes and answered last is written to.
    TrustsTheLast,
    /// Who says that it takes writes on the highest timeline is written to.
    TrustsTheHighest,
    /// The servers' identity is not looked at.
    IgnoresCluster,
    /// A replica that was asked whether it shows a write is read whatever it says.
    IgnoresProofs,
    /// What is known of a replica counts over any connection.
    IgnoresNews,
    /// A connection counts as one to the server that was asked, wherever it leads.
    IgnoresServers,
    /// Writes are decided as reads are.
    WritesAnywhere,
    /// All reads go to the primary.
    ReadsOnThePrimary,
    /// Nobody may run anything.
    Nobody,
    /// Servers acknowledge writes that no replica has, though they should wait.
    AcknowledgesEarly,
}
