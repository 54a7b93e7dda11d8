//! `console`: talk to a process line by line, and see what it prints in between.
//!
//! ```text
//!   reader thread  --line-->  this loop  --Eval-->  node
//!   (line editor)  <-prompt-      |      <-result-
//!                                 |      <-events (SSE)-   then: results since the last one, those that want to be printed
//! ```
//!
//! Without a terminal lines are read from standard input, one evaluation each, and the command ends with them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ao_types::{Id, Signer as _, Tag, Wallet};
use parking_lot::Mutex;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Editor, Helper};
use serde_json::Value;
use tokio::sync::mpsc;

use super::args::Console;
use super::client::Client;
use super::context::{self, Context};
use super::exit::{Exit, Failure};
use super::output::coloured;
use super::{online, show};

/// Without an event stream the process is asked this often.
const POLL: Duration = Duration::from_secs(2);
/// Results asked for at once.
const PAGE: usize = 100;

/// `console`.
pub async fn console(context: &mut Context<'_>, arguments: &Console) -> Result<Exit, Failure> {
    let client = context.client()?;
    let process = context::id(&arguments.process)?;
    let wallet = context.wallet(arguments.wallet.as_deref())?;
    let mut session = Session { watch: Watch::new(&client, process).await?, client, wallet, process, prompt: "> ".into() };
    session.ask_prompt().await?;
    let terminal = context.printer.io.input.is_none() && std::io::IsTerminal::is_terminal(&std::io::stdin()) && context.printer.io.terminal;
    if terminal { interactive(context, session).await } else { piped(context, session).await }
}

struct Session {
    client: Client,
    wallet: Wallet,
    process: Id,
    prompt: String,
    watch: Watch,
}

impl Session {
    /// The prompt as it is now, without leaving a trace in the process's log.
    async fn ask_prompt(&mut self) -> Result<(), Failure> {
        let from = self.wallet.address().to_string();
        let message = online::dry_message(&self.process, &from, &[Tag::new("Action", "Eval")], "''");
        let result = self.client.dry_run(&self.process, &message).await?;
        self.take_prompt(&result);
        Ok(())
    }

    fn take_prompt(&mut self, result: &Value) {
        if let Some(prompt) = show::prompt(&result["Output"]) {
            prompt.clone_into(&mut self.prompt);
        }
    }

    /// Evaluates a line, or what a line stands for.
    async fn evaluate(&mut self, line: &str) -> Result<Value, Failure> {
        let code = match line.strip_prefix(".load ") {
            Some(file) => std::fs::read(file.trim())
                .map_err(|error| Failure::new(super::exit::io_exit(&error), format!("cannot read {}: {error}", file.trim())))?,
            None => line.as_bytes().to_vec(),
        };
        let evaluated = online::evaluate(&self.client, &self.wallet, self.process, code).await?;
        self.take_prompt(&evaluated.result);
        Ok(evaluated.result)
    }
}

/// Results of a process from now on.
struct Watch {
    cursor: Option<String>,
}

impl Watch {
    async fn new(client: &Client, process: Id) -> Result<Self, Failure> {
        let page = client.get(&format!("cu/results/{process}?sort=DESC&limit=1")).await?;
        Ok(Self { cursor: page["edges"][0]["cursor"].as_str().map(ascending) })
    }

    /// What the process wants shown since the last call.
    async fn prints(&mut self, client: &Client, process: Id) -> Result<Vec<String>, Failure> {
        let mut prints = Vec::new();
        loop {
            let from = self.cursor.as_deref().map(|cursor| format!("&from={}", cursor.replace('+', "%2B"))).unwrap_or_default();
            let page = client.get(&format!("cu/results/{process}?sort=ASC&limit={PAGE}{from}")).await?;
            let edges = page["edges"].as_array().cloned().unwrap_or_default();
            for edge in &edges {
                let output = &edge["node"]["Output"];
                if show::wants_print(output) {
                    prints.extend(show::words(output).map(str::to_owned));
                }
                self.cursor = edge["cursor"].as_str().map(str::to_owned).or(self.cursor.take());
            }
            if edges.is_empty() || page["pageInfo"]["hasNextPage"] != true {
                return Ok(prints);
            }
        }
    }
}

/// The sort inside a cursor wins over the query's: one that came from a descending page would turn back.
fn ascending(cursor: &str) -> String {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD;
    let decoded = engine.decode(cursor).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    match decoded {
        Some(mut value) if value["sort"].is_string() => {
            value["sort"] = "ASC".into();
            engine.encode(value.to_string())
        }
        _ => cursor.to_owned(),
    }
}

/// Lines from standard input, one evaluation each.
async fn piped(context: &mut Context<'_>, mut session: Session) -> Result<Exit, Failure> {
    let colour = context.printer.colour;
    let mut exit = Exit::Ok;
    while let Some(line) = read_line(context)? {
        let line = line.trim_end();
        if line.trim().is_empty() {
            continue;
        }
        if line.trim() == ".exit" {
            break;
        }
        let result = session.evaluate(line).await?;
        if show::error(&result).is_some() {
            exit = Exit::ProcessError;
        }
        show::result(&mut context.printer, "result/v1", serde_json::json!({ "result": result }), &result)?;
        for text in session.watch.prints(&session.client, session.process).await? {
            context.printer.line(&coloured(&text, colour))?;
        }
    }
    Ok(exit)
}

fn read_line(context: &mut Context<'_>) -> Result<Option<String>, Failure> {
    let mut line = String::new();
    let read = match context.printer.io.input.as_mut() {
        Some(input) => input.read_line(&mut line),
        None => std::io::stdin().read_line(&mut line),
    };
    let read = read.map_err(|error| Failure::new(super::exit::io_exit(&error), format!("cannot read standard input: {error}")))?;
    Ok((read > 0).then_some(line))
}

/// What the reader thread says.
enum Said {
    Line(String),
    End,
}

async fn interactive(context: &mut Context<'_>, mut session: Session) -> Result<Exit, Failure> {
    let colour = context.printer.colour;
    let bug = |error: ReadlineError| Failure::new(Exit::Bug, format!("no line editor: {error}"));
    let mut editor: LineEditor = Editor::new().map_err(bug)?;
    let typed = Typed::default();
    editor.set_helper(Some(typed.clone()));
    let (say, mut said) = mpsc::channel(1);
    let (prompt, prompts) = std::sync::mpsc::channel::<String>();
    let reader = std::thread::Builder::new().name("console".into()).spawn(move || read_lines(editor, &prompts, &say));
    reader.map_err(|error| Failure::new(Exit::Bug, format!("no thread: {error}")))?;
    let ready = |session: &Session| drop(prompt.send(coloured(&session.prompt, colour)));
    context.printer.note("Every line is evaluated. `.load FILE` evaluates a file, `.exit` or Ctrl-D ends.")?;
    ready(&session);
    let mut events = Events::new(session.client.clone(), session.process);
    loop {
        tokio::select! {
            heard = said.recv() => match heard {
                None | Some(Said::End) => return Ok(Exit::Ok),
                Some(Said::Line(line)) => {
                    match session.evaluate(&line).await {
                        Ok(result) => context.printer.line(&show::human(&result, colour))?,
                        // A refused line ends nothing: the process and the session are as before.
                        Err(failure) if failure.exit != Exit::Unreachable => context.report(&failure),
                        Err(failure) => return Err(failure),
                    }
                    for text in session.watch.prints(&session.client, session.process).await? {
                        context.printer.line(&coloured(&text, colour))?;
                    }
                    ready(&session);
                }
            },
            () = events.next() => {
                let prints = session.watch.prints(&session.client, session.process).await?;
                if !prints.is_empty() {
                    for text in prints {
                        // Over the line being edited. The terminal is in raw mode: a line feed alone does not return.
                        context.printer.line(&format!("\r\u{1b}[K{}\r", coloured(&text, colour).replace('\n', "\r\n")))?;
                    }
                    let line = format!("{}{}", coloured(&session.prompt, colour), typed.0.lock());
                    context.printer.part(&line)?;
                }
            }
        }
    }
}

/// What is typed and not sent yet. The editor asks it for hints and so tells it every change.
///
/// The editor's own way of printing from outside is not used: with it the editor waits for a key although lines that were typed ahead, or
/// pasted, are in its buffer.
#[derive(Clone, Default)]
struct Typed(Arc<Mutex<String>>);

impl Hinter for Typed {
    type Hint = String;
    fn hint(&self, line: &str, _: usize, _: &rustyline::Context<'_>) -> Option<String> {
        line.clone_into(&mut self.0.lock());
        None
    }
}

impl Completer for Typed {
    type Candidate = String;
}
impl Highlighter for Typed {}
impl Validator for Typed {}
impl Helper for Typed {}

type LineEditor = Editor<Typed, FileHistory>;

fn read_lines(mut editor: LineEditor, prompts: &std::sync::mpsc::Receiver<String>, say: &mpsc::Sender<Said>) {
    let history = history_file();
    if let Some(file) = &history {
        drop(editor.load_history(file));
    }
    while let Ok(prompt) = prompts.recv() {
        let said = loop {
            match editor.readline(&prompt) {
                Ok(line) if line.trim().is_empty() => {}
                Ok(line) if line.trim() == ".exit" => break Said::End,
                Ok(line) => {
                    drop(editor.add_history_entry(&line));
                    break Said::Line(line);
                }
                // Ctrl-C forgets the line, as in a shell.
                Err(ReadlineError::Interrupted) => {}
                Err(_) => break Said::End,
            }
        };
        if let Some(typed) = editor.helper() {
            typed.0.lock().clear();
        }
        if let Some(file) = &history {
            drop(editor.append_history(file));
        }
        if say.blocking_send(said).is_err() {
            break;
        }
    }
}

/// The editor writes it with mode 0600.
fn history_file() -> Option<PathBuf> {
    let folder = crate::datadir::cache_root()?;
    std::fs::create_dir_all(&folder).ok()?;
    Some(folder.join("console-history"))
}

/// Says when a process may have something new: by the node's event stream, or every [`POLL`] where there is none.
struct Events {
    client: Client,
    process: Id,
    stream: Option<reqwest::Response>,
}

impl Events {
    fn new(client: Client, process: Id) -> Self {
        Self { client, process, stream: None }
    }

    async fn next(&mut self) {
        loop {
            if self.stream.is_none() {
                self.stream = self.client.stream(&format!("v1/events?process={}", self.process)).await.ok();
            }
            let Some(stream) = &mut self.stream else {
                tokio::time::sleep(POLL).await;
                return;
            };
            match stream.chunk().await {
                Ok(Some(chunk)) if mentions_evaluation(&chunk) => return,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    self.stream = None;
                    tokio::time::sleep(POLL).await;
                    return;
                }
            }
        }
    }
}

/// A chunk of server-sent events in which something was evaluated, or from which events are missing.
fn mentions_evaluation(chunk: &[u8]) -> bool {
    chunk.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"event: computed") || line.starts_with(b"event: gap"))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    #[test]
    fn cursors_are_turned_round() {
        let engine = base64::engine::general_purpose::STANDARD;
        let cursor = engine.encode(r#"{"timestamp":1,"ordinate":"1","cron":null,"sort":"DESC"}"#);
        let turned = engine.decode(ascending(&cursor)).unwrap();
        assert_eq!(turned, br#"{"timestamp":1,"ordinate":"1","cron":null,"sort":"ASC"}"#);
        assert_eq!(ascending("not a cursor"), "not a cursor");
    }

    #[test]
    fn only_evaluations_wake_the_console() {
        assert!(mentions_evaluation(b"id: 4\nevent: computed\ndata: {}\n\n"));
        assert!(mentions_evaluation(b"event: gap\ndata: {}\n\n"));
        assert!(!mentions_evaluation(b": alive\n\n"));
        assert!(!mentions_evaluation(b"event: assigned\ndata: {\"x\":\"event: computed\"}\n\n"));
    }
}
