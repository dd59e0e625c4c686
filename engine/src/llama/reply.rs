//! One reply in the making: its tokens, its text, and what of it has been told.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use llama_sys::llama_cpp_2::model::LlamaModel;
use llama_sys::llama_cpp_2::token::LlamaToken;
use llama_sys::llama_cpp_2::vocab::LlamaVocab;
use llama_sys::{GrammarSampler, ParsedReply, Rendered, ReplyParser, preserved_tokens};

use super::sample::Sampler;
use super::text::Text;
use super::thinking::Thinking;
use crate::backend::Sink;
use crate::error::one_line;
use crate::{Delta, EngineError, Sampling};

/// Least time between two looks at the text: no eye sees less, and a small model makes dozens of tokens in it.
const TELL_INTERVAL: Duration = Duration::from_millis(8);
/// A look parses the whole text anew, so the time between two is at least this many times what the last one took:
/// it never costs more than 1 % of the time, however long the reply grows.
const TELL_SHARE: u32 = 100;
/// Temperature of a second try where the first was colder: the same tokens again would fail again.
const RETRY_TEMPERATURE: f32 = 0.7;

/// One reply in the making.
pub(super) struct Reply<'model> {
    model: &'model LlamaModel,
    rendered: Rc<Rendered>,
    vocabulary: LlamaVocab<'model>,
    sampling: Sampling,
    sampler: Sampler,
    grammar: Option<GrammarSampler<'model>>,
    parser: ReplyParser,
    /// Special tokens whose text belongs to the reply.
    preserved: Vec<LlamaToken>,
    tokens: Vec<LlamaToken>,
    /// [`Text::mark`] after each token.
    marks: Vec<(usize, bool)>,
    text: Text,
    thinking: Thinking,
    /// Tokens that come next, whatever the model says.
    forced: VecDeque<LlamaToken>,
    told: Told,
    next_look: Instant,
    piece: Vec<u8>,
}

impl<'model> Reply<'model> {
    /// An empty reply to `rendered`; `sampling` has all its values.
    pub(super) fn new(model: &'model LlamaModel, rendered: Rc<Rendered>, sampling: Sampling) -> Result<Self, EngineError> {
        let parser = ReplyParser::new(&rendered).map_err(|error| EngineError::Template(one_line(error)))?;
        Ok(Self {
            model,
            vocabulary: model.vocab(),
            sampler: Sampler::new(&sampling, model.n_vocab()),
            grammar: new_grammar(model, &rendered)?,
            sampling,
            parser,
            preserved: preserved_tokens(model, &rendered),
            tokens: Vec::new(),
            marks: Vec::new(),
            text: Text::new(&rendered.stops),
            thinking: Thinking::new(&rendered),
            forced: VecDeque::new(),
            rendered,
            told: Told::default(),
            next_look: Instant::now(),
            piece: Vec::new(),
        })
    }

    /// The tokens so far, without the one that ended it.
    pub(super) fn tokens(&self) -> &[LlamaToken] {
        &self.tokens
    }

    /// Closes the reasoning when it has `tokens` tokens; `None`: it may be of any length.
    pub(super) fn limit_reasoning(&mut self, tokens: Option<u32>) {
        self.thinking.limit(tokens);
    }

    /// Chooses the next token and takes it, or takes the next one that is forced. Returns it, or `None` if it ends the reply.
    pub(super) fn sample(&mut self, logits: &[f32]) -> Result<Option<LlamaToken>, EngineError> {
        self.close_reasoning();
        let forced = self.next_forced()?;
        let token = match forced {
            Some(token) => token,
            None => self.sampler.sample(logits, self.grammar.as_mut())?,
        };
        // A forced marker may be one that ends a reply where the model says it.
        if forced.is_none() && self.vocabulary.is_eog(token) {
            return Ok(None);
        }
        self.piece.clear();
        self.vocabulary.token_to_piece_into(token, &mut self.piece, self.preserved.contains(&token), None);
        let stopped = self.text.push(&self.piece);
        self.tokens.push(token);
        self.marks.push(self.text.mark());
        self.thinking.advance(self.text.whole());
        if forced.is_some() && self.forced.is_empty() {
            self.thinking.close();
        }
        Ok((!stopped).then_some(token))
    }

    /// Lines the closing marker up when the reasoning has had its tokens. Half a character is finished first.
    fn close_reasoning(&mut self) {
        let whole = self.text.mark().1;
        if let Some(marker) = self.thinking.must_close().filter(|_| whole && self.forced.is_empty()) {
            self.forced = self.vocabulary.tokenize(marker.as_bytes(), false, true).into();
        }
    }

    /// The next forced token, accepted by grammar and sampler. One that the grammar forbids is dropped with all behind it: what
    /// cannot be read is worse than long reasoning.
    fn next_forced(&mut self) -> Result<Option<LlamaToken>, EngineError> {
        let Some(token) = self.forced.pop_front() else { return Ok(None) };
        if self.sampler.accept(token, self.grammar.as_mut())? {
            return Ok(Some(token));
        }
        self.forced.clear();
        self.thinking.limit(None);
        Ok(None)
    }

    /// Tells what is new, if the last look was long enough ago.
    pub(super) fn tell(&mut self, sink: &mut Sink) {
        let start = Instant::now();
        if start < self.next_look {
            return;
        }
        // A text that cannot be parsed yet is told later, and judged at the end.
        if let Ok(parsed) = self.parser.parse(self.text.certain(), true) {
            self.told.tell(&parsed, sink);
        }
        let now = Instant::now();
        self.next_look = now + TELL_INTERVAL.max((now - start) * TELL_SHARE);
    }

    /// Takes the reply apart as far as it has come; a half marker or call at its end is left out.
    pub(super) fn parse_cut(&mut self) -> ParsedReply {
        self.parser.parse(self.text.end(), true).unwrap_or_default()
    }

    /// Takes a reply apart that the model has ended. A text that breaks its format outside of a tool call (reasoning that is
    /// never closed) is taken as far as it can be understood.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse_ended(&mut self) -> Result<ParsedReply, String> {
        let text = self.text.end();
        self.parser.parse(text, false).or_else(|error| {
            let cut = self.parser.parse(text, true).unwrap_or_default();
            let understood = cut.tool_calls.is_empty() && (!cut.content.is_empty() || !cut.reasoning.is_empty());
            if understood { Ok(cut) } else { Err(one_line(error)) }
        })
    }

    /// Tells what of the finished reply has not been told.
    pub(super) fn tell_rest(&mut self, parsed: &ParsedReply, sink: &mut Sink) {
        self.told.tell(parsed, sink);
    }

    /// Goes back to the last token before a tool call began, to try again with other tokens: the `tries`-th time.
    /// What has been told stays true.
    pub(super) fn go_back(&mut self, tries: u32) -> Result<(), EngineError> {
        let keep = self.before_calls();
        self.tokens.truncate(keep);
        self.marks.truncate(keep);
        self.text.back_to(self.marks.last().map_or(0, |mark| mark.0));
        self.forced.clear();
        self.thinking.restart();
        for (length, _) in &self.marks {
            self.thinking.advance(self.text.whole().get(..*length).unwrap_or_default());
        }
        let sampling = Sampling {
            temperature: self.sampling.temperature.map(|temperature| temperature.max(RETRY_TEMPERATURE)),
            seed: Some(self.sampling.seed.unwrap_or_default().wrapping_add(tries)),
            ..self.sampling.clone()
        };
        self.sampler = Sampler::new(&sampling, self.model.n_vocab());
        self.grammar = new_grammar(self.model, &self.rendered)?;
        if let Some(grammar) = &mut self.grammar {
            let replayed = self.tokens.iter().try_for_each(|token| grammar.accept(*token));
            replayed.map_err(|error| EngineError::Decode(format!("the grammar failed: {error}")))?;
        }
        Ok(())
    }

    /// Tokens before the first that belongs to a tool call.
    fn before_calls(&mut self) -> usize {
        let text = self.text.end().to_owned();
        let mut keep = 0;
        for (index, (length, whole)) in self.marks.iter().enumerate() {
            let Some(start) = text.get(..*length) else { break };
            let begun = self.parser.parse(start, true).map_or(true, |parsed| !parsed.tool_calls.is_empty());
            if begun {
                break;
            }
            if *whole {
                keep = index + 1;
            }
        }
        keep
    }
}

fn new_grammar<'model>(model: &'model LlamaModel, rendered: &Rendered) -> Result<Option<GrammarSampler<'model>>, EngineError> {
    GrammarSampler::new(model, rendered).map_err(|error| EngineError::ToolSchema(one_line(error)))
}

/// What the receiver has got.
#[derive(Debug, Default)]
struct Told {
    content: String,
    reasoning: String,
}

impl Told {
    /// Sends what `parsed` has more. Nothing is taken back: where it does not go on with what was told, it is not told.
    fn tell(&mut self, parsed: &ParsedReply, sink: &mut Sink) {
        if let Some(more) = news(&mut self.reasoning, &parsed.reasoning) {
            sink.send(Delta::Reasoning(more));
        }
        if let Some(more) = news(&mut self.content, &parsed.content) {
            sink.send(Delta::Text(more));
        }
    }
}

/// What `now` has behind `told`, which then has it too.
fn news(told: &mut String, now: &str) -> Option<String> {
    let more = now.strip_prefix(told.as_str()).filter(|more| !more.is_empty())?;
    told.push_str(more);
    Some(more.to_owned())
}
