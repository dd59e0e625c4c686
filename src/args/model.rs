//! `paguro model …` as it is typed.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use engine::CacheType;

use super::ListArgs;

#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Fetch a model; without a name, show good ones by the memory they need
    Pull {
        /// OWNER/NAME on the hub, OWNER/NAME:QUANT, or a name of the table
        #[arg(value_name = "REPO[:QUANT]")]
        model: Option<String>,
        /// Name it in the configuration at the end
        #[arg(long = "use", requires = "model")]
        r#use: bool,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show the models that are here
    List(ListArgs),
    /// Remove a model
    Rm {
        /// Its name, as `list` shows it
        name: String,
        /// Also the one that is configured
        #[arg(long)]
        force: bool,
    },
    /// Load a model and say what it can do
    Check {
        /// A model's name or path; without it the configured one
        model: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Say what a model would take and whether it fits, without loading it
    Plan(PlanArgs),
    /// Print the vectors of texts as JSON, one line for each
    Embed(EmbedArgs),
    /// Measure how fast a model is here, and with a text what a smaller cache costs
    Bench(BenchArgs),
    /// Try settings on this machine and say which are the fastest
    Tune(TuneArgs),
}

#[derive(Debug, Args)]
pub struct EmbedArgs {
    /// The texts; without any, the lines of standard input
    pub text: Vec<String>,
    /// They are texts to look for, not texts to be found
    #[arg(long)]
    pub query: bool,
    /// Cuts a text that is too long to its beginning
    #[arg(long)]
    pub cut: bool,
    /// An embedder's name or path; without it the configured one
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// A model's name or path; without it the configured one
    pub model: Option<String>,
    /// Tokens in the cache before prefill and decode are measured
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [0, 4096, 8192])]
    pub depth: Vec<u32>,
    /// Measures perplexity on this text, with caches of f16, q8_0 and q4_0
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Most tokens of the text that are read
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..))]
    pub text_tokens: u32,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// A model's name or path; without it the configured one
    pub model: Option<String>,
    /// Try another context, in tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..=i32::MAX as i64))]
    pub context: Option<u32>,
    /// Try another type of the K cache
    #[arg(long, value_name = "T", value_parser = cache_type())]
    pub cache_type_k: Option<CacheType>,
    /// Try another type of the V cache
    #[arg(long, value_name = "T", value_parser = cache_type())]
    pub cache_type_v: Option<CacheType>,
    #[command(flatten)]
    pub list: ListArgs,
}

#[derive(Debug, Args)]
pub struct TuneArgs {
    /// A model's name or path; without it the configured one
    pub model: Option<String>,
    /// A text that no setting may foretell worse than an f16 cache does, but for the bound
    #[arg(long, value_name = "FILE")]
    pub text: Option<PathBuf>,
    /// Most tokens of the text that are read
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..))]
    pub text_tokens: u32,
    /// How much higher the perplexity may be, such as 1%
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = share)]
    pub bound: f64,
    /// Tokens in the cache at which settings are compared, beside none
    #[arg(long, value_name = "N", default_value_t = 2048)]
    pub depth: u32,
    /// About how long to try; the trial that runs then is the last
    #[arg(long, value_name = "N", default_value = "5", value_parser = minutes)]
    pub minutes: f64,
    /// Writes the best settings into the configuration file
    #[arg(long)]
    pub write: bool,
    #[command(flatten)]
    pub list: ListArgs,
}

/// The names of cache types, as in the configuration.
fn cache_type() -> impl clap::builder::TypedValueParser<Value = CacheType> {
    let named = |name: String| CacheType::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or(CacheType::Q4_0);
    PossibleValuesParser::new(CacheType::ALL.map(CacheType::name)).map(named)
}

/// `1%`, or `0.01`.
fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.trim().parse::<f64>().map(|number| number / unit).ok();
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "not a share; give one such as 1%".to_owned())
}

/// More than nothing, at most a day.
fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse::<f64>().ok();
    minutes.filter(|minutes| *minutes > 0.0 && *minutes <= 1440.0).ok_or_else(|| "give a number of minutes up to 1440".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let check = |text: &str, expected: Option<f64>| assert_eq!(share(text).ok(), expected, "{text}");
        check("1%", Some(0.01));
        check("0.5 %", Some(0.005));
        check("0.02", Some(0.02));
        for bad in ["", "%", "-1%", "101%", "much", "NaN"] {
            check(bad, None);
        }
    }
}
