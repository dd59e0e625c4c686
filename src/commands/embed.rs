//! `paguro model embed`: the vectors of texts, for scripts.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use anyhow::Result;
use engine::{EmbedKind, EmbedRequest, Embedding, Engine, EngineError};
use serde::Serialize;

use super::{input, print_json};
use crate::args::EmbedArgs;
use crate::exit::{BadInput, Interrupted};
use crate::parts::{Context, on_ctrl_c};

/// Texts that are asked for at once; their lines are printed when all of them have their vectors.
const TEXTS: usize = 256;

/// One line of the output.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// Which text, from 0.
    text_index: usize,
    /// The embedder's name: vectors of two cannot be compared.
    model: &'a str,
    tokens: u32,
    /// The vector stands for the text's beginning.
    cut: bool,
    dimensions: u32,
    /// Of length 1.
    vector: &'a [f32],
}

pub async fn run(args: &EmbedArgs) -> Result<ExitCode> {
    let context = Context::read()?;
    let options = context.embedder(args.model.as_deref()).ok_or(EngineError::NoEmbedder)?;
    let texts = texts(&args.text)?;
    let engine = Engine::embedding_only(options).await?;
    let interrupt = on_ctrl_c();
    let work = print_all(&engine, args, &texts);
    tokio::select! {
        result = work => result?,
        () = interrupt.raised() => return Err(Interrupted.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// The texts of the arguments, else the lines of standard input; all of them with words.
fn texts(arguments: &[String]) -> Result<Vec<String>, BadInput> {
    let (texts, what) = match arguments {
        [] if io::stdin().is_terminal() => {
            return Err(BadInput("there is no text; give some as arguments, or one a line on standard input".into()));
        }
        [] => (input::read_stdin(io::stdin())?.lines().map(str::to_owned).collect(), "line"),
        texts => (texts.to_vec(), "text"),
    };
    let bad = |text: &String| text.trim().is_empty() || text.contains('\0');
    match texts.iter().position(bad) {
        Some(index) if texts[index].contains('\0') => Err(BadInput(format!("{what} {} has a NUL; remove it", index + 1))),
        Some(index) => Err(BadInput(format!("{what} {} is empty; each needs words to have a vector", index + 1))),
        None => Ok(texts),
    }
}

async fn print_all(engine: &Engine, args: &EmbedArgs, texts: &[String]) -> Result<()> {
    let kind = if args.query { EmbedKind::Query } else { EmbedKind::Document };
    for (part, texts) in texts.chunks(TEXTS).enumerate() {
        let before = part * TEXTS;
        let asked = engine.embed(EmbedRequest { texts: texts.to_vec(), kind, cut: args.cut }).await;
        let embeddings = asked.map_err(|error| match error {
            EngineError::TextTooLong { number, tokens, most } => EngineError::TextTooLong { number: before + number, tokens, most },
            error => error,
        })?;
        for (index, Embedding { vector, tokens, cut }) in embeddings.embeddings.iter().enumerate() {
            let (model, dimensions) = (embeddings.model.as_str(), embeddings.dimensions);
            print_json(&Line { text_index: before + index, model, tokens: *tokens, cut: *cut, dimensions, vector })?;
        }
    }
    Ok(())
}
