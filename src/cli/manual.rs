//! `nines completions` and `nines man`: generated from the command line's own declaration.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

/// Prints the completion script for a shell.
pub fn completions(mut command: Command, shell: Shell, out: &mut dyn Write) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "nines", &mut script);
    // A closed pipe is the reader's choice.
    let _ = out.write_all(&script);
}

/// Prints the manual page, or writes that of every subcommand into a directory.
///
/// # Errors
/// The directory cannot be written.
pub fn man(command: Command, directory: Option<&Path>, out: &mut dyn Write) -> anyhow::Result<()> {
    match directory {
        None => clap_mangen::Man::new(command).render(out)?,
        Some(directory) => {
            std::fs::create_dir_all(directory)
                .and_then(|()| clap_mangen::generate_to(command, directory))
                .with_context(|| format!("cannot write manual pages to {}", directory.display()))?;
        }
    }
    Ok(())
}
