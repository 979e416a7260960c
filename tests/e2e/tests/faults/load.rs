//! Callers that ask as fast as they are answered, with requests that can be told apart: the load under which things go wrong.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use graphwarden_e2e::{Gate, expect_masked, reason};
use graphwarden_stand::{Act, Answer, Ask, Person, Reply, Seen, Upstream, wait_until};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Of each kind: readers, and those whose runs are recorded before they go on.
const CALLERS: u64 = 2;
/// Between two requests of one caller.
const PAUSE: Duration = Duration::from_millis(4);

/// The path of a thread that no other request is about.
pub(crate) fn thread(number: u64) -> String {
    format!("/threads/00000000-0000-4000-8000-{number:012}")
}

/// A run of the support agent in a thread of its own.
pub(crate) fn run_of(number: u64) -> Ask {
    let body = json!({"assistant_id": "support_agent", "input": {"note": "my ssn is 219-09-9999"}});
    Ask::post(&format!("{}/runs/wait", thread(number)), &body)
}

/// An upstream that answers each request with its own path, and with what nobody may see.
pub(crate) fn answers(seen: &Seen) -> Vec<Act> {
    Reply::json(200, &json!({"path": seen.target, "owner": "zoe.obrien@example.com", "ssn": "078-05-1120"}))
}

/// The healthy upstream.
pub(crate) async fn upstream() -> Result<Upstream> {
    Upstream::start(answers).await
}

/// One request of the load, and what came of it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) path: String,
    pub(crate) acts: bool,
    pub(crate) answer: Result<Answer>,
}

/// What the callers share.
#[derive(Debug, Default)]
struct Book {
    told: Mutex<Vec<Told>>,
    number: AtomicU64,
    stop: AtomicBool,
}

/// The running load.
#[derive(Debug)]
pub(crate) struct Load {
    book: Arc<Book>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts asking, with a token of this person.
    pub(crate) fn start(gate: &Gate) -> Self {
        Self::with(gate.port(), &gate.token(Person::Analyst))
    }

    /// Starts asking at a port with a token.
    pub(crate) fn with(port: u16, token: &str) -> Self {
        let book = Arc::new(Book::default());
        let callers = (0..2 * CALLERS)
            .map(|caller| {
                let (book, token) = (Arc::clone(&book), token.to_owned());
                tokio::spawn(async move {
                    while !book.stop.load(Ordering::Relaxed) {
                        let number = book.number.fetch_add(1, Ordering::Relaxed) + 1;
                        let acts = caller < CALLERS;
                        let (path, ask) = if acts {
                            (format!("{}/runs/wait", thread(number)), run_of(number))
                        } else {
                            (thread(number), Ask::get(&thread(number)))
                        };
                        let answer = ask.bearer(&token).send(port).await;
                        book.lock().push(Told { path, acts, answer });
                        tokio::time::sleep(PAUSE).await;
                    }
                })
            })
            .collect();
        Self { book, callers }
    }

    /// How many requests have been answered so far.
    pub(crate) fn count(&self) -> usize {
        self.book.lock().len()
    }

    /// Waits until some requests of each kind have passed that were answered from now on.
    pub(crate) async fn passes(&self) -> Result<()> {
        let from = self.count();
        self.until("requests of each kind pass", from, |told| {
            let passed = |acts: bool| {
                told.iter()
                    .filter(|one| {
                        one.acts == acts && one.answer.as_ref().is_ok_and(|answer| answer.status == 200)
                    })
                    .count()
            };
            passed(true) >= 10 && passed(false) >= 10
        })
        .await
    }

    /// Waits until a request that acts is refused with this status and reason.
    pub(crate) async fn is_refused(&self, status: u16, code: &str) -> Result<()> {
        let from = self.count();
        self.until(&format!("a refusal {status} {code}"), from, |told| {
            told.iter().any(|one| {
                one.acts
                    && one
                        .answer
                        .as_ref()
                        .is_ok_and(|answer| answer.status == status && reason(answer) == code)
            })
        })
        .await
    }

    async fn until(&self, what: &str, from: usize, holds: impl Fn(&[Told]) -> bool) -> Result<()> {
        let reached = wait_until(what, Duration::from_secs(40), async || {
            holds(self.book.lock().get(from..).unwrap_or_default())
        })
        .await;
        reached.with_context(|| {
            let told = self.book.lock();
            let last: Vec<String> = told.iter().rev().take(6).map(summary).collect();
            format!("{} answers since, the last of them {last:?}", told.len().saturating_sub(from))
        })
    }

    /// Stops asking and hands out what came of everything.
    pub(crate) async fn end(self) -> Result<Vec<Told>> {
        self.book.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.context("a caller ended badly")?;
        }
        Ok(std::mem::take(&mut *self.book.lock()))
    }
}

impl Book {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line about a request.
pub(crate) fn summary(told: &Told) -> String {
    match &told.answer {
        Ok(answer) => format!("{} {} {}", told.path, answer.status, reason(answer)),
        Err(error) => format!("{} {error:#}", told.path),
    }
}

/// Fails unless each answer is a whole and masked one to its own request, or one of these refusals, in LangGraph's
/// shape. Returns how many passed.
pub(crate) fn each_is_told_the_truth(told: &[Told], refusals: &[(u16, &str)]) -> Result<usize> {
    let mut passed = 0;
    for one in told {
        let answer = match &one.answer {
            Ok(answer) => answer,
            Err(error) => anyhow::bail!("{}: no answer: {error:#}", one.path),
        };
        expect_masked(&one.path, &answer.text())?;
        ensure!(answer.complete, "{}: breaks off: {}", summary(one), answer.text());
        let body: Value = answer.json().with_context(|| summary(one))?;
        if answer.status == 200 {
            ensure!(body["path"] == one.path.as_str(), "{} was answered with another's: {body}", one.path);
            passed += 1;
        } else {
            let known =
                refusals.iter().any(|(status, code)| *status == answer.status && *code == reason(answer));
            ensure!(known, "{}: {}", summary(one), answer.text());
            graphwarden_e2e::expect_refusal(answer, answer.status, &reason(answer))?;
        }
    }
    ensure!(passed >= 20, "only {passed} of {} passed: no load", told.len());
    Ok(passed)
}
