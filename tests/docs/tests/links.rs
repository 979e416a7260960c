//! Every link of the documents leads somewhere: files that exist, headings that are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use graphwarden_docs::pages;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The links of a page with the offset of each, and the anchors of its headings.
fn read(text: &str) -> (Vec<(usize, String)>, Vec<String>) {
    let (mut links, mut anchors, mut heading) = (Vec::new(), Vec::new(), None::<String>);
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                links.push((range.start, dest_url.into_string()));
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(words) | Event::Code(words) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let mut anchor = anchor(&heading.take().unwrap_or_default());
                let same = anchors.iter().filter(|other| **other == anchor).count();
                if same > 0 {
                    anchor = format!("{anchor}-{same}");
                }
                anchors.push(anchor);
            }
            _ => {}
        }
    }
    (links, anchors)
}

/// As mdBook and GitHub make it of a heading.
fn anchor(heading: &str) -> String {
    let kept = |sign: &char| sign.is_alphanumeric() || matches!(sign, '_' | '-' | ' ');
    heading.to_lowercase().chars().filter(kept).map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                normal.pop();
            }
            std::path::Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let pages = pages::all().unwrap();
    let read: BTreeMap<&Path, _> = pages.iter().map(|(path, text)| (path.as_path(), read(text))).collect();
    let mut broken = Vec::new();
    for (path, text) in &pages {
        for (offset, link) in &read[path.as_path()].0 {
            if link.starts_with("https://") || link.starts_with("mailto:") {
                continue;
            }
            let line = text[..*offset].lines().count();
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(f, a)| (f, Some(a)));
            let target = match file {
                "" => path.clone(),
                file => normal(&path.parent().unwrap().join(file)),
            };
            // What is built stands under `target`.
            let built = target.starts_with(pages::root().join("target"));
            let there = built || target.exists();
            let anchored = anchor.is_none_or(|anchor| {
                read.get(target.as_path())
                    .is_none_or(|(_, anchors)| anchors.iter().any(|other| other == anchor))
            });
            if !there || !anchored || link.starts_with("http:") {
                broken.push(format!("{}:{line}: {link}", pages::name(path)));
            }
        }
    }
    assert!(broken.is_empty(), "links lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn the_book_has_every_page_of_its_folder_once() {
    let summary = std::fs::read_to_string(pages::root().join("docs/SUMMARY.md")).unwrap();
    let (links, _) = read(&summary);
    for (path, _) in pages::all().unwrap() {
        let Ok(inside) = path.strip_prefix(pages::root().join("docs")) else { continue };
        let inside = inside.display().to_string();
        if inside != "SUMMARY.md" {
            let times = links.iter().filter(|(_, link)| *link == inside).count();
            assert_eq!(times, 1, "docs/SUMMARY.md names {inside} {times} times");
        }
    }
}

#[test]
fn anchors_are_made_as_the_book_makes_them() {
    assert_eq!(anchor("`access`: may they?"), "access-may-they");
    assert_eq!(anchor("ISO/IEC 27001:2022"), "isoiec-270012022");
}
