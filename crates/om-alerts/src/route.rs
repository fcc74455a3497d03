//! The resolver's answers: the catalogue, the list, the route of a category
//! (chapter 04 §2.4, §2.5).

use om_model::alerts::Severity;
use om_model::alerts::sinks::{
    CatalogueSink, EnvStatus, RouteDocument, RoutedSink, SinkCatalogue, SinkValidation,
};
use om_model::envelope::SchemaVersion;

use crate::config::SinkConfig;
use crate::environment::Environment;

impl SinkConfig {
    /// What there is. `env_check_enabled` says whether
    /// [`SinkConfig::check_secrets`] had to hold.
    pub fn catalogue(&self, environment: &Environment, env_check_enabled: bool) -> SinkCatalogue {
        let entry = |sink: &RoutedSink| CatalogueSink {
            id: sink.id.clone(),
            enabled: sink.enabled,
            kind: sink.kind,
            timeout_seconds: sink.timeout_seconds.clone(),
            secret_refs: sink.secret_refs.clone(),
        };
        SinkCatalogue {
            schema_version: SchemaVersion::V1,
            source_file: self.source_file.clone(),
            default_min_severity: self.default_min_severity,
            sinks: self.sinks.iter().map(entry).collect(),
            enabled_sink_count: self.sinks.iter().filter(|sink| sink.enabled).count() as u64,
            routing: self.routing.clone(),
            env_status: self.env_status(environment),
            validation: SinkValidation { env_check_enabled },
        }
    }

    /// One line per sink: id, type and whether it is enabled, tab-separated.
    pub fn list(&self) -> Vec<String> {
        let line =
            |sink: &RoutedSink| format!("{}\t{}\t{}", sink.id, sink.kind.as_str(), sink.enabled);
        self.sinks.iter().map(line).collect()
    }

    /// Where an alert of `category` goes, and whether it goes at all.
    ///
    /// The first enabled route of the category decides (decision D1); routes
    /// are not merged. Without a severity of its own the alert has that of
    /// its category, else that of the gate.
    pub fn route(
        &self,
        category: &str,
        severity: Option<Severity>,
        environment: &Environment,
        env_check_enabled: bool,
    ) -> RouteDocument {
        let route = self
            .routes
            .iter()
            .find(|route| route.enabled && route.category == category);
        let sink_ids = route
            .map(|route| &route.sinks)
            .filter(|sinks| !sinks.is_empty())
            .unwrap_or(&self.default_sinks);
        let min_severity = route
            .and_then(|route| route.min_severity)
            .unwrap_or(self.default_min_severity);
        let mapped = self.category_severity.get(category).copied();
        let event_severity = severity.or(mapped).unwrap_or(min_severity);
        let should_dispatch = event_severity >= min_severity;
        let selected_sinks: Vec<RoutedSink> = sink_ids
            .iter()
            .filter_map(|id| self.sink(id).cloned())
            .collect();
        let dispatchable = |sink: &&RoutedSink| should_dispatch && sink.enabled;
        RouteDocument {
            schema_version: SchemaVersion::V1,
            source_file: self.source_file.clone(),
            category: category.to_owned(),
            event_severity,
            category_mapped_severity: mapped,
            min_severity,
            should_dispatch,
            route: route.map(|route| route.verbatim.clone()),
            dispatchable_sinks: selected_sinks
                .iter()
                .filter(dispatchable)
                .cloned()
                .collect(),
            selected_sinks,
            env_status: self.env_status(environment),
            validation: SinkValidation { env_check_enabled },
        }
    }

    fn env_status(&self, environment: &Environment) -> EnvStatus {
        let names = self.sinks.iter().flat_map(|sink| sink.secret_refs.names());
        names
            .map(|name| (name.to_owned(), environment.presence(name)))
            .collect()
    }
}
