//! The two ways to load a server. A closed loop is clients that wait: what is slow is asked less, and a pause of the server hides in one
//! latency a client. An open loop asks when it is due, whatever became of those before, and counts from then: a pause shows in the
//! latency of everyone who would have come meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::client::{Failure, Target};
use super::tally::Tally;

/// How a run is timed and watched.
#[derive(Debug, Clone)]
pub struct Control {
    /// Not counted, before what is.
    pub warm_up: Duration,
    /// Within which counted requests begin.
    pub duration: Duration,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// Ends the run early; what was measured until then is told.
    pub stop: CancellationToken,
    /// Requests that have ended, for whoever watches.
    pub ended: Arc<AtomicU64>,
}

impl Control {
    /// A run of `duration` that is warm.
    pub fn new(duration: Duration) -> Self {
        Self {
            warm_up: Duration::ZERO,
            duration,
            timeout: Duration::from_secs(30),
            stop: CancellationToken::new(),
            ended: Arc::default(),
        }
    }

    /// From the first request to the last.
    pub fn whole(&self) -> Duration {
        self.warm_up + self.duration
    }
}

/// Connections of an open loop at most: as many as a machine has files open for one program, and some more.
const MOST_CONNECTIONS: usize = 900;
/// The pause of a client that can't connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);
/// No failure of the server's: nothing had come when the run's time, and the timeout after it, were over.
const TIMED_OUT: &str = "timeout";

/// What all requests of a run share.
struct Run<T: Target> {
    target: Arc<T>,
    control: Control,
    /// When what begins is counted.
    warm: Instant,
    tally: Mutex<Tally>,
    idle: Mutex<Vec<T::Connection>>,
}

impl<T: Target> Run<T> {
    fn start(target: &Arc<T>, control: &Control) -> Arc<Self> {
        let warm = Instant::now() + control.warm_up;
        Arc::new(Self {
            target: Arc::clone(target),
            control: control.clone(),
            warm,
            tally: Mutex::new(Tally::new(warm)),
            idle: Mutex::default(),
        })
    }

    /// Asks by a connection that is idle, or a new one, and counts from `due`.
    async fn ask(&self, number: usize, due: Instant) -> Result<(), Failure> {
        let asking = async {
            let idle = lock(&self.idle).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => self.target.connect().await?,
            };
            let outcome = self.target.ask(&mut connection, number).await;
            if !outcome.as_ref().is_err_and(|failure| failure.broken) {
                lock(&self.idle).push(connection);
            }
            outcome
        };
        let asked = tokio::time::timeout(self.control.timeout, asking).await;
        let outcome = asked.unwrap_or_else(|_| Err(Failure { code: TIMED_OUT.into(), broken: true }));
        self.control.ended.fetch_add(1, Ordering::Relaxed);
        if due >= self.warm {
            let now = Instant::now();
            lock(&self.tally).record(now, now - due, outcome.as_ref().map(drop).map_err(|failure| &*failure.code));
        }
        outcome
    }

    fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `clients` that ask again as soon as they are answered; each once at least that counts, however slow the server is.
pub async fn closed_loop<T: Target>(target: &Arc<T>, clients: usize, control: &Control) -> Tally {
    let run = Run::start(target, control);
    let end = run.warm + control.duration;
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let run = Arc::clone(&run);
        tasks.spawn(async move {
            let (mut number, mut now, mut counted) = (client, Instant::now(), false);
            while now < end || !counted {
                counted |= now >= run.warm;
                let broken = run.ask(number, now).await.is_err_and(|failure| failure.broken);
                if broken {
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
                number += clients;
                now = Instant::now();
            }
        });
    }
    until_done(tasks, &control.stop).await;
    run.tally()
}

/// `rate_per_s` requests a second, whether those before are answered or not.
pub async fn open_loop<T: Target>(target: &Arc<T>, rate_per_s: f64, control: &Control) -> Tally {
    let run = Run::start(target, control);
    let mut due = schedule(run.warm - control.warm_up, rate_per_s, control);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut tasks = JoinSet::new();
    let mut number = 0;
    loop {
        let due = tokio::select! {
            due = due.recv() => due,
            () = control.stop.cancelled() => None,
        };
        let Some(due) = due else { break };
        let (run, places) = (Arc::clone(&run), Arc::clone(&places));
        tasks.spawn(async move {
            let _place = places.acquire_owned().await;
            // counted, whatever it is
            let _ = run.ask(number, due).await;
        });
        number += 1;
        while tasks.try_join_next().is_some() {}
    }
    until_done(tasks, &control.stop).await;
    run.tally()
}

async fn until_done(mut tasks: JoinSet<()>, stop: &CancellationToken) {
    tokio::select! {
        () = async { while tasks.join_next().await.is_some() {} } => {}
        () = stop.cancelled() => {}
    }
}

/// The moments at which requests are due, each told when it has come: by a thread that sleeps to some ten microseconds, where tokio's timer
/// knows milliseconds. It ends with the schedule, or when nobody listens.
fn schedule(begin: Instant, rate_per_s: f64, control: &Control) -> mpsc::UnboundedReceiver<Instant> {
    let (tell, told) = mpsc::unbounded_channel();
    let total = (control.whole().as_secs_f64() * rate_per_s).ceil() as u64;
    thread::spawn(move || {
        for number in 0..total {
            let due = begin + Duration::from_secs_f64(number as f64 / rate_per_s);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if tell.send(due).is_err() {
                return;
            }
        }
    });
    told
}
