//! Transcripts: many at once, forked, on disk, paused, guessed ahead; whatever happens, the text is that of a cold run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use engine::{
    CacheType, Delta, Engine, EngineError, Finish, FinishReason, ForkPoint, LoadOptions, Message, ModelSource, Priority, Request, Role,
    Sampling,
};
use support::gguf::Gguf;
use support::models::{self, TINY};
use tempfile::TempDir;

/// A model in a folder, and a place for its transcripts.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new(model: &Gguf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        model.write(&folder.path().join("model.gguf")).unwrap();
        Self { folder }
    }

    fn kv(&self) -> PathBuf {
        self.folder.path().join("kv")
    }

    async fn load(&self, change: impl FnOnce(&mut LoadOptions)) -> Engine {
        let source = ModelSource::File(self.folder.path().join("model.gguf"));
        // A batch of another shape sums in another order. Where keys are rounded, to q4_0 or, as flash attention does, to f16, a
        // difference in the last bit becomes a visible one: two cold prefills in other batches then differ as often.
        let (cache_type_k, cache_type_v, flash_attention) = (CacheType::F32, CacheType::F32, false);
        let mut options = LoadOptions {
            context: Some(1024),
            batch: 64,
            threads: Some(1),
            cache_type_k,
            cache_type_v,
            flash_attention,
            ..LoadOptions::new(source)
        };
        change(&mut options);
        Engine::load(options, |_| ControlFlow::Continue(())).await.unwrap()
    }

    /// With transcripts on disk.
    async fn load_kept(&self) -> Engine {
        self.load(|options| options.kv_folder = Some(self.kv())).await
    }

    /// What a model says that has read nothing before.
    async fn cold(&self, request: &Request) -> Message {
        finish(&self.load(|options| options.hot = 1).await, request.clone()).await.message
    }
}

fn user(text: &str) -> Message {
    Message::new(Role::User, text)
}

fn ask(transcript: &str, messages: &[Message], max_tokens: u32) -> Request {
    let sampling = Sampling { temperature: Some(0.0), ..Sampling::default() };
    let transcript = Some(transcript.into());
    Request { messages: messages.to_vec(), transcript, sampling, max_tokens: Some(max_tokens), ..Request::default() }
}

async fn ended(mut generation: engine::Generation) -> Result<Finish, EngineError> {
    loop {
        if let Delta::Finish(finish) = generation.next().await.unwrap()? {
            return Ok(*finish);
        }
    }
}

async fn finish(engine: &Engine, request: Request) -> Finish {
    ended(engine.generate(request).await.unwrap()).await.unwrap()
}

fn architectures() -> [(&'static str, Gguf); 4] {
    [
        ("plain", models::untied(&TINY, 1)),
        ("window", models::sliding_window(32, 7)),
        ("recurrent", models::recurrent(8)),
        ("hybrid", models::hybrid(9)),
    ]
}

#[tokio::test]
async fn many_at_once_say_what_each_says_alone() {
    for (name, model) in architectures() {
        let place = Place::new(&model);
        let engine = place.load(|options| options.hot = 4).await;
        let requests: Vec<_> =
            (0..7).map(|number| ask(&format!("t{number}"), &[user(&format!("question {number} ").repeat(8))], 30)).collect();
        let mut running = Vec::new();
        for request in &requests {
            running.push(engine.generate(request.clone()).await.unwrap());
        }
        for (request, generation) in std::iter::zip(&requests, running) {
            let reply = ended(generation).await.unwrap();
            assert_eq!(reply.message, place.cold(request).await, "{name}");
        }
    }
}

#[tokio::test]
async fn forks_share_what_they_have_in_common() {
    let place = Place::new(&models::untied(&TINY, 2));
    let engine = place.load(|options| options.hot = 9).await;
    let mut messages = vec![Message::new(Role::System, "Be kind."), user(&"a long story ".repeat(40))];
    let reply = finish(&engine, ask("origin", &messages, 20)).await;
    let depth = reply.usage.prompt_tokens;
    messages.extend([reply.message, user("")]);
    for number in 0..8 {
        let name = format!("fork {number}");
        let shared = engine.fork("origin", &name, ForkPoint::End).await.unwrap();
        assert!(shared > depth);
        messages.last_mut().unwrap().content = format!("and {number}?");
        let request = ask(&name, &messages, 25);
        let reply = finish(&engine, request.clone()).await;
        assert!(reply.usage.reused_tokens >= depth && reply.usage.prefilled_tokens < 120, "{:?}", reply.usage);
        assert_eq!(reply.message, place.cold(&request).await);
    }
    // The origin is as it was.
    messages.last_mut().unwrap().content = "origin?".into();
    assert!(finish(&engine, ask("origin", &messages, 5)).await.usage.reused_tokens >= depth);
    let shared = engine.fork("origin", "start", ForkPoint::Messages(1)).await.unwrap();
    assert!(shared > 5 && shared < 60, "{shared}");
    assert_eq!(engine.fork("nobody", "x", ForkPoint::End).await, Err(EngineError::NoTranscript { name: "nobody".into() }));
}

#[tokio::test]
async fn a_restart_reads_nothing_twice() {
    for (name, model) in architectures() {
        let place = Place::new(&model);
        let mut messages = vec![user(&"some words to read ".repeat(15))];
        let engine = place.load_kept().await;
        let reply = finish(&engine, ask("a", &messages, 20)).await;
        let depth = reply.usage.prompt_tokens;
        messages.extend([reply.message, user("more")]);
        drop(engine);

        let engine = place.load_kept().await;
        let request = ask("a", &messages, 20);
        let reply = finish(&engine, request.clone()).await;
        assert!(reply.usage.reused_tokens + 40 >= depth, "{name} {:?} {:?}", reply.usage, reply.cache_miss);
        assert!(reply.timings.restore_ms > 0.0);
        assert_eq!(reply.message, place.cold(&request).await, "{name}");
        drop(engine);

        // Another conversation with the same beginning takes it from there.
        let engine = place.load_kept().await;
        messages.truncate(1);
        messages.extend([Message::new(Role::Assistant, "no"), user("else")]);
        let request = ask("b", &messages, 20);
        let reply = finish(&engine, request.clone()).await;
        assert!(reply.usage.reused_tokens + 40 >= depth, "{name} {:?}", reply.usage);
        assert_eq!(reply.message, place.cold(&request).await, "{name}");
    }
}

/// What is done to a file.
type Damage = fn(&mut Vec<u8>);

fn kv_file(folder: &Path) -> PathBuf {
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test]
async fn a_file_in_doubt_costs_a_prefill_and_says_why() {
    let place = Place::new(&models::untied(&TINY, 3));
    let messages = vec![user(&"some words to read ".repeat(15))];
    let request = ask("a", &messages, 10);
    let expected = place.cold(&request).await;
    let damages: [(&str, Damage); 3] = [
        ("the saved state is damaged", |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }),
        ("the saved state is damaged", |bytes| bytes.truncate(bytes.len() / 3)),
        ("the saved state is damaged", Vec::clear),
    ];
    for (cause, damage) in damages {
        drop(finish(&place.load_kept().await, request.clone()).await);
        let file = kv_file(&place.kv());
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let reply = finish(&place.load_kept().await, request.clone()).await;
        assert_eq!((reply.usage.reused_tokens, reply.cache_miss.as_deref(), &reply.message), (0, Some(cause), &expected));
    }
    let other = place.load(|options| (options.kv_folder, options.cache_type_k) = (Some(place.kv()), CacheType::F16)).await;
    let reply = finish(&other, request).await;
    assert_eq!((reply.usage.reused_tokens, reply.cache_miss.as_deref()), (0, Some("the saved state has other cache types")));
}

#[tokio::test]
async fn the_owner_goes_first_and_background_loses_nothing() {
    let place = Place::new(&models::untied(&TINY, 4));
    let engine = place.load(|options| options.hot = 3).await;
    let background: Vec<_> = (0..4)
        .map(|number| Request {
            priority: Priority::Background,
            ..ask(&format!("b{number}"), &[user(&format!("work {number} ").repeat(10))], 150)
        })
        .collect();
    let mut running = Vec::new();
    for request in &background {
        running.push(engine.generate(request.clone()).await.unwrap());
    }
    while let Some(Ok(Delta::Prefill { .. })) = running[0].next().await {}
    let request = ask("owner", &[user("hello")], 20);
    let reply = finish(&engine, request.clone()).await;
    assert_eq!(reply.message, place.cold(&request).await);
    for (request, generation) in std::iter::zip(&background, running) {
        let reply = ended(generation).await.unwrap();
        assert_eq!(reply.usage.completion_tokens, 150);
        assert_eq!(reply.message, place.cold(request).await);
    }
}

#[tokio::test]
async fn guesses_change_nothing_but_the_time() {
    for (name, model) in [("plain", models::untied(&TINY, 5)), ("hybrid", models::hybrid(6))] {
        let place = Place::new(&model);
        let (plain, drafting) = (place.load(|options| options.draft = false).await, place.load(|_| {}).await);
        for seed in 0..4 {
            let messages = [user(&format!("one two three {seed} ").repeat(12))];
            let (a, b) = (finish(&plain, ask("a", &messages, 300)).await, finish(&drafting, ask("a", &messages, 300)).await);
            assert_eq!((a.message, a.usage, a.reason), (b.message, b.usage, b.reason), "{name}");
        }
    }
}

/// A small generator of random numbers, so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| (entry.path(), fs::read(entry.path()).unwrap())).collect()
}

/// The folder as a kill leaves it: nothing of what the end wrote, and of what stood there before perhaps one file torn.
fn killed(folder: &Path, before: &[(PathBuf, Vec<u8>)], random: &mut Random) {
    for (path, _) in files(folder) {
        fs::remove_file(path).unwrap();
    }
    let torn = random.below(4);
    for (number, (path, bytes)) in (0..).zip(before) {
        let length = if number == torn { bytes.len() / 2 } else { bytes.len() };
        fs::write(path, &bytes[..length]).unwrap();
    }
}

/// Appends, forks, cancels, edits, spills, kills and restarts at random. Every reply must be the one of an engine that reads its prompt anew.
#[tokio::test]
async fn random_work_leaves_every_transcript_as_a_cold_prefill() {
    let rounds: u64 = std::env::var("PAGURO_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(120);
    for (name, model) in architectures() {
        let place = Place::new(&model);
        let mut random = Random(11);
        let mut conversations: HashMap<u64, Vec<Message>> = HashMap::new();
        let limits = |options: &mut LoadOptions| {
            (options.hot, options.kv_folder, options.kv_disk_bytes) = (3, Some(place.kv()), 4 << 20);
        };
        let mut engine = place.load(limits).await;
        // One transcript and no disk: what it says depends on the prompt alone once it has forgotten the one before.
        let cold = place.load(|options| (options.hot, options.draft) = (1, false)).await;
        for round in 0..rounds {
            let number = random.below(6);
            let transcript = format!("t{number}");
            let messages = conversations.entry(number).or_default();
            messages.push(user(&format!("message {round} ").repeat(1 + usize::try_from(random.below(5)).unwrap())));
            if messages.len() > 9 {
                messages.drain(..messages.len() - 1);
            }
            let priority = if random.below(2) == 0 { Priority::Interactive } else { Priority::Background };
            let request = Request { priority, ..ask(&transcript, messages, 1 + u32::try_from(random.below(25)).unwrap()) };
            match random.below(10) {
                0 => {
                    let mut generation = engine.generate(request).await.unwrap();
                    generation.next().await.unwrap().unwrap();
                    drop(generation);
                    messages.pop();
                }
                1 => {
                    let before = files(&place.kv());
                    drop(engine);
                    if random.below(2) == 0 {
                        killed(&place.kv(), &before, &mut random);
                    }
                    engine = place.load(limits).await;
                    messages.pop();
                }
                2 => {
                    messages.pop();
                    let copy = messages.clone();
                    let to = random.below(6);
                    if engine.fork(&transcript, &format!("t{to}"), ForkPoint::End).await.is_ok() {
                        conversations.insert(to, copy);
                    }
                }
                _ => {
                    let beside = ask("beside", &[user(&format!("beside {round}"))], 12);
                    let second = engine.generate(beside.clone()).await.unwrap();
                    let reply = finish(&engine, request.clone()).await;
                    for (request, message) in [(request, &reply.message), (beside, &ended(second).await.unwrap().message)] {
                        cold.forget(request.transcript.as_deref().unwrap()).await.unwrap();
                        let expected = finish(&cold, request.clone()).await;
                        assert_eq!(expected.usage.reused_tokens, 0);
                        assert_eq!(*message, expected.message, "{name}, round {round}");
                        cold.forget(request.transcript.as_deref().unwrap()).await.unwrap();
                    }
                    messages.push(reply.message);
                }
            }
        }
        // Nothing is left behind in the cache: one prompt can have all of it.
        for transcript in (0..6).map(|number| format!("t{number}")).chain(["beside".to_owned()]) {
            engine.forget(&transcript).await.unwrap();
        }
        let all = finish(&engine, ask("all", &[user(&"x".repeat(900))], 8)).await;
        assert_eq!((all.usage.reused_tokens, all.reason), (0, FinishReason::Length), "{name}");
    }
}
