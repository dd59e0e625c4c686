//! Budgets of DESIGN §7: a file 500 lines (800 fails), a function 70 lines, `agent` 3,000 lines without tests; its policy is counted by itself.

use std::path::Path;

use syn::spanned::Spanned as _;
use syn::visit::Visit;

const FILE_LINES: usize = 800;
const FUNCTION_LINES: usize = 70;
const AGENT_LINES: usize = 3_000;
const APPROVAL_LINES: usize = 850;
const RECALL_LINES: usize = 550;

/// Functions over the budget, as `name: lines`.
struct Functions {
    file: String,
    over: Vec<String>,
    seen: usize,
}

impl Functions {
    fn measure(&mut self, name: &syn::Ident, span: proc_macro2::Span) {
        let lines = span.end().line - span.start().line + 1;
        self.seen += 1;
        if lines > FUNCTION_LINES {
            self.over.push(format!("{} {name}: {lines} lines", self.file));
        }
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.measure(&item.sig.ident, item.span());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.measure(&item.sig.ident, item.span());
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[test]
fn files_are_short() {
    let long: Vec<_> =
        super::sources().into_iter().map(|(path, text)| (path, text.lines().count())).filter(|(_, lines)| *lines > FILE_LINES).collect();
    assert!(long.is_empty(), "files over {FILE_LINES} lines: {long:?}");
}

#[test]
fn functions_are_short() {
    let mut functions = Functions { file: String::new(), over: Vec::new(), seen: 0 };
    for (path, text) in super::sources() {
        functions.file = path.display().to_string();
        functions.visit_file(&syn::parse_file(&text).unwrap());
    }
    assert!(functions.seen > 300, "only {} functions found: the walk is broken", functions.seen);
    assert!(functions.over.is_empty(), "functions over {FUNCTION_LINES} lines: {:#?}", functions.over);
}

#[test]
fn the_agent_is_small() {
    let lines = |folder: &str| -> usize {
        let sources = super::sources();
        let own = sources.iter().filter(|(path, _)| path.starts_with(Path::new(folder)));
        own.map(|(_, text)| text.split("#[cfg(test)]").next().unwrap_or_default().lines().count()).sum()
    };
    let approval = lines("agent/src/approval");
    assert!(approval <= APPROVAL_LINES, "agent/src/approval has {approval} lines without tests");
    let recall = lines("agent/src/recall");
    assert!(recall <= RECALL_LINES, "agent/src/recall has {recall} lines without tests");
    let rest = lines("agent/src") - approval - recall;
    assert!(rest <= AGENT_LINES, "agent has {rest} lines without tests, its policy and what it recalls");
}
