//! A stage of a command is built in (a function call) or a *hook*: an
//! executable named by an `OPS_MANAGER_…_SCRIPT` variable.
//!
//! Contract: README "Hooks". A hook is an existing file or a name on `PATH`,
//! else its value is split at blanks; it is never given to a shell. It gets
//! the stage's argv, empty stdin and the full environment. Whatever goes
//! wrong is a value: an exit code and a text, as a built-in stage would give.
//!
//! ```
//! use om_stage::{Hook, RunOptions};
//!
//! let hook = Hook::resolve("OPS_MANAGER_HEALTH_SCRIPT", "echo", None);
//! let output = hook.run(&["hello"], &RunOptions::default());
//! assert_eq!((output.exit_code, output.stdout.as_slice()), (0, b"hello\n".as_slice()));
//! ```

mod guard;
mod hook;
mod output;
mod process;
mod text;

pub use guard::{end_children, keep_children_on_signals};
pub use hook::Hook;
pub use output::Keep;
pub use process::{DEFAULT_OUTPUT_CAP, DEFAULT_TIME_LIMIT, RunOptions, StageOutput, Streams};
pub use text::{FAILURE_TAIL_LINES, last_lines};
