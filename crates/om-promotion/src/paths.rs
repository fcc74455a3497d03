//! Where the pipeline's documents are: as given, else in the fleet's folder.

use std::path::{Path, PathBuf};

use om_store::{FleetFile, FleetLayout, RepoLayout};

/// The fleet's files of a repository.
#[derive(Clone, Debug)]
pub(crate) struct FleetPaths(FleetLayout);

impl FleetPaths {
    /// Those of `repo`, which is absolute.
    pub(crate) fn of(repo: &Path) -> Self {
        Self(RepoLayout::new(repo.to_owned()).fleet_files())
    }

    /// The fleet's scope.
    pub(crate) fn scope_dir(&self) -> PathBuf {
        self.0.scope_dir().to_owned()
    }

    /// The path that was given, else that of `file`.
    pub(crate) fn or(&self, given: Option<&String>, file: FleetFile) -> String {
        given.map_or_else(|| self.0.path(file).display().to_string(), Clone::clone)
    }

    /// The path that was given, else `name` in the fleet's folder.
    pub(crate) fn or_named(&self, given: Option<&String>, name: &str) -> String {
        given.map_or_else(
            || self.0.scope_dir().join(name).display().to_string(),
            Clone::clone,
        )
    }

    /// Makes the folder of the drills' record, into which people write
    /// (decision D21). Without it the record is missing, which is told.
    pub(crate) fn make_drills_folder(&self) {
        let record = self.0.path(FleetFile::DrillEvidence);
        let made = record.parent().map(std::fs::create_dir_all);
        if let Some(Err(error)) = made {
            tracing::debug!(%error, "no folder for the record of drills");
        }
    }
}
