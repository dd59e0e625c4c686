//! What `config init` asks about Telegram: the bot's token, which is checked and kept in a file of its own, and its owner.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use channels::telegram::{Api, ApiError};
use channels::visible;
use serde_json::json;
use toml_edit::{Array, value};

use crate::exit::BadInput;
use crate::models::configure;
use crate::out;
use crate::parts::Context;

/// The file with the token, in the home.
const TOKEN_FILE: &str = "telegram.token";

/// How often a wrong answer may be given.
const TRIES: usize = 3;

/// Asks on a terminal, or takes the first two lines of what is piped. No answer means no bot; whether there is one now.
pub async fn ask(context: &Context) -> Result<bool> {
    let asks = std::io::stdin().is_terminal();
    let Some((token, api, name)) = token(context, asks).await? else { return Ok(false) };
    let owner = owner(&api, &name, asks).await?;
    keep(&context.home.data.join(TOKEN_FILE), &token)?;
    configure::write(&context.home.config, |document| {
        document["telegram"]["token_file"] = value(TOKEN_FILE);
        if let Some(owner) = owner {
            document["telegram"]["owners"] = value(Array::from_iter([owner]));
        }
        Ok(())
    })?;
    say!("kept the token of @{} in {TOKEN_FILE}, readable by you alone", visible(&name));
    match owner {
        Some(_) => say!("next: `paguro serve`, and write to @{} on Telegram", visible(&name)),
        None => say!("next: `paguro serve`; it shows a code here that lets you in when you send it to @{}", visible(&name)),
    }
    Ok(true)
}

/// A token that Telegram takes, with the bot's name; `None`: there is to be no bot.
async fn token(context: &Context, asks: bool) -> Result<Option<(String, Api, String)>> {
    let telegram = &context.config.telegram;
    for attempt in 1.. {
        if asks {
            tell!("The token of your bot on Telegram, from @BotFather (Enter: no bot):");
        }
        let token = answer();
        if token.is_empty() {
            return Ok(None);
        }
        let api = Api::new(&token, &telegram.api_url, telegram.proxy.as_ref())?;
        let wrong = match api.call_raw("getMe", &json!({})).await {
            Ok(me) => return Ok(Some((token, api, me["username"].as_str().unwrap_or_default().to_owned()))),
            Err(ApiError::Unauthorized | ApiError::NotFound(_)) => {
                "Telegram does not know this token; copy all of it, such as 123456:ABC-def".to_owned()
            }
            Err(error) => format!("the token cannot be checked: {error}"),
        };
        if !asks || attempt == TRIES {
            return Err(BadInput(format!("{wrong}; the rest of the configuration is written")).into());
        }
        tell!("{wrong}");
    }
    Ok(None)
}

/// The owner's id; `None`: a code will let him in.
async fn owner(api: &Api, name: &str, asks: bool) -> Result<Option<i64>> {
    for attempt in 1.. {
        if asks {
            tell!("This is @{}. Your own numeric id on Telegram (Enter: a code will let you in):", visible(name));
        }
        let text = answer();
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<i64>() {
            Ok(owner) if owner > 0 => {
                match api.call_raw("getChat", &json!({ "chat_id": owner })).await {
                    Ok(chat) => tell!("That is {}.", visible(chat["first_name"].as_str().unwrap_or("somebody without a name"))),
                    // A bot knows only those who have written to it.
                    Err(_) => tell!("Telegram does not let a bot write first: write /start to @{} once.", visible(name)),
                }
                return Ok(Some(owner));
            }
            _ if asks && attempt < TRIES => tell!("`{}` is no id; it is a number such as 123456789", visible(&text)),
            _ => return Err(BadInput(format!("`{}` is no id of a person; it is a number such as 123456789", visible(&text))).into()),
        }
    }
    Ok(None)
}

/// A line without blanks around it; nothing where nobody answers.
fn answer() -> String {
    out::read_line().unwrap_or_default().trim().to_owned()
}

/// Writes a secret, readable by its owner alone.
fn keep(file: &Path, secret: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(file).with_context(|| format!("{} cannot be written", file.display()))?;
    #[cfg(unix)]
    out.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    writeln!(out, "{secret}").with_context(|| format!("{} cannot be written", file.display()))
}
