//! The page at `/`: every file that it needs is served as what it is, under a policy that lets it ask this server alone.

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use support::{MeanColor, Reply, get, model, send, service};

/// What names an SVG; nobody fetches it.
const SVG_NAMESPACE: &str = "http://www.w3.org/2000/svg";

fn page() -> Router {
    service(model("colors", MeanColor, 8))
}

fn files() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/page");
    let entries = std::fs::read_dir(folder).expect("the page's folder");
    entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name")).collect()
}

fn path(file: &str) -> String {
    if file == "index.html" { "/".to_owned() } else { format!("/page/{file}") }
}

fn text(reply: &Reply) -> &str {
    std::str::from_utf8(&reply.body).expect("text")
}

/// What stands between each `before` and the next quotation mark.
fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).map(|rest| rest.split('"').next().unwrap_or(rest))
}

#[tokio::test]
async fn every_file_is_served_as_what_it_is() {
    let page = page();
    for file in files() {
        let reply = get(&page, &path(&file)).await;
        assert_eq!(reply.status, 200, "{file}");
        let expected = match file.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => panic!("{file} is of a kind that this test doesn't know"),
        };
        assert_eq!(reply.content_type(), expected, "{file}");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff", "{file}");
        assert_eq!(reply.headers["referrer-policy"], "no-referrer", "{file}");
        let policy = reply.headers["content-security-policy"].to_str().expect("text");
        for rule in ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{file}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{file}: {policy}");
    }
    assert_eq!(get(&page, "/page/absent.js").await.json()["code"], "route_not_found");
}

#[tokio::test]
async fn a_browser_that_has_a_file_is_not_sent_it_again() {
    let page = page();
    let tag = get(&page, "/").await.headers["etag"].clone();
    let again = |tag| Request::get("/").header("if-none-match", tag).body(Body::empty()).expect("a request");
    let reply = send(&page, again(tag)).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (304, 0));
    assert_eq!(send(&page, again("\"another\"".parse().expect("a value"))).await.status, 200);
}

#[tokio::test]
async fn the_files_name_each_other_and_no_other_host() {
    let page = page();
    let files = files();
    let mut named = BTreeSet::from(["index.html".to_owned()]);
    for file in &files {
        let reply = get(&page, &path(file)).await;
        let text = text(&reply).replace(SVG_NAMESPACE, "");
        assert!(!text.contains("http://") && !text.contains("https://"), "{file} names another host");
        named.extend(quoted(&text, "\"/page/").map(str::to_owned));
        named.extend(quoted(&text, "from \"./").map(str::to_owned));
    }
    assert_eq!(named, files, "what is named is there, and what is there is named");
}

#[tokio::test]
async fn the_index_keeps_to_the_policy() {
    let index = get(&page(), "/").await;
    let index = text(&index);
    assert!(quoted(index, "<script").count() > 0);
    for script in index.split("<script").skip(1) {
        let (head, rest) = script.split_once('>').expect("a closed tag");
        assert!(head.contains("src=\"/page/"), "a script of the page's own files: {head}");
        assert!(rest.starts_with("</script>"), "no script in the page itself");
    }
    assert!(!index.contains("<style") && !index.contains(" style="), "no style in the page itself");
    let mut tags = index.split('<').filter_map(|rest| rest.split('>').next());
    assert!(!tags.any(|tag| tag.contains(" on")), "no handler in an attribute");
}
