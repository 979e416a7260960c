//! The fenced blocks of a page.
//!
//! ~~~text
//! ```yaml,policy,file=policy.yaml
//! ~~~
//! is YAML, is checked as a policy, and lies in the folder in which the page's commands run.

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of its fence, one-based.
    pub line: usize,
    /// What it is written in, such as `yaml`.
    pub language: String,
    /// How it is checked, such as `policy`.
    pub tags: Vec<String>,
    /// What stands in it.
    pub text: String,
}

impl Block {
    /// Whether it has this tag.
    pub fn is(&self, tag: &str) -> bool {
        self.tags.iter().any(|other| other == tag)
    }

    /// The value of a tag such as `file=policy.yaml`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The blocks of a page, in order. A fence may be indented, as in a list; the text loses as much.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<(Block, usize, String)> = None;
    for (index, line) in page.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let rest = line.trim_start();
        match &mut open {
            None => {
                let fence: String = rest.chars().take_while(|&sign| sign == '`' || sign == '~').collect();
                if fence.len() >= 3 {
                    let mut words = rest[fence.len()..].split([',', ' ']).filter(|word| !word.is_empty());
                    let language = words.next().unwrap_or_default().to_owned();
                    let tags = words.map(str::to_owned).collect();
                    open =
                        Some((Block { line: index + 1, language, tags, text: String::new() }, indent, fence));
                }
            }
            Some((block, indent, fence)) => {
                if rest == fence {
                    found.extend(open.take().map(|(block, ..)| block));
                } else {
                    let kept = line.char_indices().nth(*indent).map_or("", |(at, _)| &line[at..]);
                    let blank = line.chars().take(*indent).all(|sign| sign == ' ');
                    block.text.push_str(if blank { kept } else { line });
                    block.text.push('\n');
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn a_block_has_its_language_its_tags_and_its_text() {
        let page = "x\n\n```yaml,policy,file=a.yaml\na: 1\n  b: 2\n```\n- y\n\n  ```sh\n  ls\n  ```\n";
        let found = blocks(page);
        assert_eq!(
            (found[0].line, found[0].language.as_str(), found[0].text.as_str()),
            (3, "yaml", "a: 1\n  b: 2\n")
        );
        assert!(found[0].is("policy"));
        assert_eq!(found[0].value("file"), Some("a.yaml"));
        assert_eq!((found[1].language.as_str(), found[1].text.as_str()), ("sh", "ls\n"));
        assert_eq!(found.len(), 2);
    }
}
