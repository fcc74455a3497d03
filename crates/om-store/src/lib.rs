//! The `.superloop` tree on disk.
