//! One request after another on each connection: log, waits that were imposed, faults, rates, the method, the answer.

use std::net::TcpStream;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use super::check::{Outcome, Params, Refusal, method, unknown};
use super::faults::{What, hit};
use super::http::{Answer, Connection, Input, Request};
use super::methods::{call, file_path};
use super::state::{Call, State};
use super::{Moment, Shared};

/// What becomes of the connection.
enum Then {
    Stays,
    Close,
    Reset,
    HalfClose,
}

impl Shared {
    pub fn serve(self: &Arc<Self>, stream: TcpStream) {
        let mut connection = Connection::new(stream);
        while let Some(request) = connection.next() {
            match self.exchange(&request, &mut connection) {
                Then::Stays => {}
                Then::Close => return connection.close(),
                Then::Reset => return connection.reset(),
                Then::HalfClose => return connection.half_close(),
            }
        }
    }

    fn exchange(self: &Arc<Self>, request: &Request, connection: &mut Connection) -> Then {
        let (call, input) = match self.read(request) {
            Ok(read) => read,
            Err(refusal) => return stays(connection.answer(&refusal.answer(), None)),
        };
        self.hook(&call, Moment::Before);
        let before = self.lock().before(&call);
        let fault = match before {
            Ok(fault) => fault,
            Err(refusal) => return self.write(&call, &refusal.answer(), connection),
        };
        match fault {
            None => match self.process(&call, &input, || connection.alive()) {
                Some(answer) => self.write(&call, &answer, connection),
                None => Then::Close,
            },
            Some(What::ResetBefore) => Then::Reset,
            Some(What::HalfClosed) => Then::HalfClose,
            Some(What::Gateway(status)) => self.write(&call, &Answer::gateway(status), connection),
            Some(What::Stall(time)) => {
                std::thread::sleep(time);
                Then::Close
            }
            Some(What::Flood(_) | What::FloodAll(_) | What::Refuse(..)) => unreachable!("a refusal"),
            Some(fault) => self.process_badly(&call, &input, connection, &fault),
        }
    }

    /// Processed, with an answer that does not arrive as it should.
    fn process_badly(self: &Arc<Self>, call: &Call, input: &Input, connection: &mut Connection, fault: &What) -> Then {
        if let What::Hang(time) = fault {
            std::thread::sleep(*time);
        }
        let given = self.lock().given.clone();
        let Some(answer) = self.process(call, input, || true) else { return Then::Close };
        let half = answer.body.len() / 2;
        if matches!(fault, What::ResetAfter | What::Truncated | What::BadJson) {
            // What did not arrive was not given.
            self.lock().given = given;
        }
        match fault {
            What::ResetAfter => {
                self.done(call, answer.status);
                Then::Reset
            }
            What::Truncated => {
                self.done(call, answer.status);
                connection.answer(&answer, Some(half));
                Then::Close
            }
            What::BadJson => self.write(call, &Answer { body: answer.body[..half].to_vec(), ..answer }, connection),
            What::CloseAfter => {
                self.write(call, &answer, connection);
                Then::Close
            }
            _ => self.write(call, &answer, connection),
        }
    }

    /// Which method is asked for with what. The error is for whoever has not the token.
    fn read(&self, request: &Request) -> Outcome<(Call, Input)> {
        let mut state = self.lock();
        let file = format!("/file/bot{}/", self.token);
        let (name, mut input, wrong) = match request.path.strip_prefix(&file) {
            Some(path) => {
                let params = [("file_path".to_owned(), json!(path))].into_iter().collect();
                ("download", Input { params, ..Input::default() }, None)
            }
            None => match request.path.strip_prefix(&format!("/bot{}/", self.token)) {
                None => ("unauthorised", Input::default(), Some(Refusal::new(401, "Unauthorized"))),
                Some(name) => match request.input() {
                    Ok(input) => (name, input, None),
                    Err(says) => (name, Input::default(), Some(Refusal::wrong(says))),
                },
            },
        };
        if request.header("host").is_none() || !["GET", "POST"].contains(&request.verb.as_str()) {
            state.violation(format!("{} {}: no host, or another verb than GET and POST", request.verb, name));
        }
        let method = method(name).unwrap_or(name).to_owned();
        input.params.retain(|_, value| !value.is_null());
        let mut params = Value::Object(input.params.clone());
        for (name, upload) in &input.files {
            params[name] = json!({ "file_name": upload.name, "size": upload.bytes.len() });
        }
        let status = wrong.as_ref().map(|refusal| refusal.status);
        let call = Call { number: state.calls.len(), method, params, at: Instant::now(), status };
        state.calls.push(call.clone());
        self.changed.notify_all();
        match wrong {
            None => Ok((call, input)),
            Some(refusal) => {
                state.blame(&call, &refusal);
                Err(refusal)
            }
        }
    }

    /// `None` where whoever asked is gone meanwhile.
    fn process(self: &Arc<Self>, asked: &Call, input: &Input, alive: impl FnMut() -> bool) -> Option<Answer> {
        let params = Params(input);
        if asked.method == "download" {
            return Some(self.lock().download(asked));
        }
        let outcome = match asked.method.as_str() {
            "getUpdates" => self.get_updates(params, alive)?,
            "setWebhook" => {
                let outcome = self.lock().set_webhook(params);
                let number = self.lock().webhook.as_ref().map(|webhook| webhook.number);
                if let Some(number) = number.filter(|_| outcome.is_ok()) {
                    let server = Arc::clone(self);
                    std::thread::spawn(move || server.deliver(number));
                }
                outcome
            }
            "deleteWebhook" => self.lock().delete_webhook(params),
            "getWebhookInfo" => Ok(self.lock().webhook_info()),
            method => call(&mut self.lock(), method, input),
        };
        let mut state = self.lock();
        for name in unknown(&asked.method, input) {
            state.violation(format!("{}: there is no parameter {name:?}", asked.method));
        }
        Some(match outcome {
            Ok(result) => Answer::json(200, &json!({ "ok": true, "result": result })),
            Err(refusal) => {
                state.blame(asked, &refusal);
                refusal.answer()
            }
        })
    }

    fn write(&self, call: &Call, answer: &Answer, connection: &mut Connection) -> Then {
        self.done(call, answer.status);
        stays(connection.answer(answer, None))
    }

    /// The request is done with; its answer may still go astray.
    fn done(&self, call: &Call, status: u16) {
        self.lock().calls[call.number].status = Some(status);
        self.changed.notify_all();
        self.hook(&Call { status: Some(status), ..call.clone() }, Moment::After);
    }

    fn hook(&self, call: &Call, moment: Moment) {
        let hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(hook) = hook {
            hook(call, moment);
        }
    }
}

fn stays(written: bool) -> Then {
    if written { Then::Stays } else { Then::Close }
}

impl State {
    /// What stands before the method: waits, faults, rates.
    fn before(&mut self, call: &Call) -> Outcome<Option<What>> {
        let (now, chat) = (Instant::now(), call.chat());
        let limited = chat.is_some() && call.method != "getChat" || call.method == "answerCallbackQuery";
        if let Some(held) = self.limits.held(chat, self.rules.under_way, now).filter(|_| limited) {
            if held.ignored {
                self.violation(format!("ignored_retry_after: {} in {chat:?}, {} s too early", call.method, held.retry_after));
            }
            return Err(Refusal::too_fast(held.retry_after));
        }
        match hit(&mut self.faults, &call.method, chat) {
            Some(What::Flood(seconds)) => {
                self.limits.hold(chat, seconds, now);
                return Err(Refusal::too_fast(seconds));
            }
            Some(What::FloodAll(seconds)) => {
                self.limits.hold(None, seconds, now);
                return Err(Refusal::too_fast(seconds));
            }
            Some(What::Refuse(status, description, parameters)) => {
                return Err(Refusal { parameters, ..Refusal::new(status, description) });
            }
            Some(fault) => return Ok(Some(fault)),
            None => {}
        }
        if limited {
            let sends = call.method.starts_with("send") && !["sendChatAction", "sendMessageDraft"].contains(&call.method.as_str());
            let shown = sends || call.method.starts_with("edit");
            let rates = self.rules.rates;
            self.limits.count(&rates, chat, shown, now).map_err(|fast| Refusal::too_fast(fast.retry_after))?;
        }
        Ok(None)
    }

    fn blame(&mut self, call: &Call, refusal: &Refusal) {
        if refusal.violation {
            self.violation(format!("{} {}: {}", call.method, call.params, refusal.description));
        }
    }

    fn download(&mut self, call: &Call) -> Answer {
        let path = call.params["file_path"].as_str().unwrap_or_default();
        let found = self.files.iter().find(|(id, file)| file_path(id, file) == path).map(|(_, file)| file.bytes.clone());
        match found {
            Some(body) => Answer { status: 200, kind: "application/octet-stream", body },
            None => {
                self.violation(format!("download: there is no file {path:?}"));
                Refusal::new(404, "Not Found").answer()
            }
        }
    }
}
