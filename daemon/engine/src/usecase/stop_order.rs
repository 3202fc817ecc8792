//! The order in which containers stop; they start in the reverse of it.
//!
//! Always true: whoever depends on another, as compose's labels say, comes before it, wherever the two were in the list. Of a
//! circle, which compose would not start, somebody comes first.

use std::borrow::Borrow;

use crate::port::docker::Container;

/// Sorts so that dependents come first.
pub(crate) fn dependents_first<T: Borrow<Container>>(containers: &mut Vec<&T>) {
    let mut left = std::mem::take(containers);
    while !left.is_empty() {
        containers.push(left.remove(last_dependent(&left)));
    }
}

/// From the first one to who needs it, and to who needs that one: it ends with one that nobody needs, or within a circle.
fn last_dependent<T: Borrow<Container>>(left: &[&T]) -> usize {
    let mut at = 0;
    for _ in left {
        match left.iter().position(|other| needs((*other).borrow(), left[at].borrow())) {
            Some(dependent) => at = dependent,
            None => break,
        }
    }
    at
}

/// Whether the one cannot do without the other.
fn needs(one: &Container, other: &Container) -> bool {
    needed(one, other).is_some()
}

/// Whether the one is to be started only once the other is healthy.
pub(crate) fn needs_healthy(one: &Container, other: &Container) -> bool {
    needed(one, other).is_some_and(|how| how.split(':').next() == Some("service_healthy"))
}

/// How the one needs the other, in compose's words after its name: `service_healthy:true`, or none.
fn needed<'a>(one: &'a Container, other: &Container) -> Option<&'a str> {
    let [project, service, depends_on] =
        ["project", "service", "depends_on"].map(|it| format!("com.docker.compose.{it}"));
    let service = other.labels.get(&service)?;
    let mut wanted = one.labels.get(&depends_on)?.split(',');
    let how = wanted.find_map(|wanted| {
        let (name, how) = wanted.split_once(':').unwrap_or((wanted, ""));
        (name == service).then_some(how)
    });
    how.filter(|_| one.labels.get(&project) == other.labels.get(&project))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::port::docker::{ContainerState, Health};

    fn container(service: &str, depends_on: &str) -> Container {
        let label = |name: &str, value: &str| (format!("com.docker.compose.{name}"), value.to_owned());
        Container {
            id: service.to_owned(),
            name: service.to_owned(),
            image: String::new(),
            image_id: String::new(),
            state: ContainerState::Running,
            health: Health::None,
            started_at: None,
            restart_policy: "always".to_owned(),
            labels: BTreeMap::from([
                label("project", "p"),
                label("service", service),
                label("depends_on", depends_on),
            ]),
            mounts: Vec::new(),
            auto_remove: false,
            has_us: false,
            versions: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn check(given: &[(&str, &str)], want: &[&str]) {
        let all: Vec<_> = given.iter().map(|(service, needs)| container(service, needs)).collect();
        let mut sorted: Vec<&Container> = all.iter().collect();
        dependents_first(&mut sorted);
        assert_eq!(sorted.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), want);
    }

    #[test]
    fn dependents_stop_first() {
        check(&[("db", ""), ("web", "db:service_healthy:true")], &["web", "db"]);
        check(&[("a", ""), ("b", "a"), ("c", "b,a")], &["c", "b", "a"]);
        check(&[("x", ""), ("y", "")], &["x", "y"]);
        check(&[], &[]);
    }

    #[test]
    fn also_those_who_are_far_from_what_they_need() {
        check(&[("db", ""), ("x", ""), ("web", "db")], &["web", "db", "x"]);
        check(&[("c", ""), ("y", "x"), ("b", "c"), ("x", ""), ("a", "b")], &["a", "b", "c", "y", "x"]);
    }

    #[test]
    fn a_circle_has_an_end_and_the_others_their_order() {
        check(&[("a", "b"), ("b", "a")], &["a", "b"]);
        check(&[("a", "a")], &["a"]);
        check(&[("db", ""), ("a", "b,db"), ("b", "a")], &["a", "db", "b"]);
    }

    #[test]
    fn some_wait_for_health() {
        let (db, job) = (container("db", ""), container("job", ""));
        let web = container("web", "job:service_started:false,db:service_healthy:true");
        assert!(needs_healthy(&web, &db) && !needs_healthy(&web, &job) && !needs_healthy(&db, &web));
        assert!(!needs_healthy(&container("web", "db"), &db));
    }

    #[test]
    fn a_service_of_another_project_is_not_meant() {
        let (db, mut web) = (container("db", ""), container("web", "db"));
        web.labels.insert("com.docker.compose.project".to_owned(), "q".to_owned());
        let mut sorted = vec![&db, &web];
        dependents_first(&mut sorted);
        assert_eq!(sorted[0].name, "db");
    }
}
