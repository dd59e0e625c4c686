"""Wordings for the tools that run commands and touch files: shell, read_file, write_file, edit_file, list_dir, search_files."""

import commands
import material
import wordings
import wordings_more
import wordings_wide
from phrasing import ending, fill, verbal

RUN = """run|run|run|run|execute|execute|launch|start|invoke|fire up|fire off|issue|perform|do|call|type|enter|try|try out|evaluate|kick off|process|carry out|exec|trigger
|use|send|shell out|test|go with|put in|run|spawn|submit|boot|apply|work through|go for|type in|play|initiate|activate|attempt""".replace("\n", "").split("|")
COMMANDS = """<CMD>|<CMD>|<CMD>|<CMD>|<CMD>|<CMD>|the command <CMD>|the command <CMD>|the shell command <CMD>|this command: <CMD>|this: <CMD>|the following command: <CMD>|the following: <CMD>
|this in the shell: <CMD>|<CMD> in the (terminal|shell|console)|<CMD> in a (terminal|shell)|<CMD> on this (machine|computer|box|host|server)|<CMD> on the command line|command <CMD>
|: <CMD>|the program <CMD>|(the|a) bash command <CMD>|following command:\n<CMD>|this:\n<CMD>|the command\n<CMD>|a quick <CMD>|<CMD> via the shell|<CMD> with the shell tool|the tool <CMD>|<CMD> locally|<CMD> here
|the line <CMD>|this line: <CMD>|<CMD> as a command|<CMD> (and show me|and give me|and print|and tell me|then show me) (the output|the result|what it says|what it prints)|the unix command <CMD>|the script <CMD>
|<CMD> so I can see (the output|what it prints|the result)""".replace("\n|", "|").split("|")
# Splitting on `|` cuts alternatives in brackets, so shapes with brackets are written one a line.
COMMANDS = [c for c in COMMANDS if "<CMD>" in c and "(" not in c and ")" not in c] + [
    "<CMD> in the (terminal|shell|console)", "<CMD> in a (terminal|shell)", "<CMD> on this (machine|computer|box|host|server)", "(the|a) bash command <CMD>",
    "<CMD> (and|then) (show me|give me|print|tell me|report) (the output|the result|what it says|what it prints|what you get)",
    "<CMD> so I can (see|read|check) (the output|what it prints|the result)"]
RUN_SHAPES = [
    "(in|on|using|with|via) (the|a|my|your) (terminal|shell|console|command line|prompt|machine),? (please |just |) <CMD>", "(run|execute|do|try|start),? (in|on|from) (my|the|this|our) (workspace|folder|machine|directory|terminal|home),? <CMD>",
    "(run|execute|start|do) (command|cmd|program|script|line|pipeline|one-liner|the pipeline|this pipeline|the one-liner|this one|the next command)(:|=| =|,| ->| >|) <CMD>", "(command|cmd|the command|shell command|run|task|job|todo)( to run|) (=|:|->|=>|is) <CMD>",
    "type <CMD> (into|in) (the|a) (shell|terminal|console|prompt) (please|for me|and press enter|now|)", "(<CMD>|<CMD>|the command <CMD>) (please|now|-|,) (run it|execute it|run that|do it)", "(console|bash|sh|zsh|prompt|user|root)(>|$|%|#| >| $) <CMD>",
    "(query|ask|test|check|probe|try) (the system|the machine|the box|the shell|it) (with|using|via|by) <CMD>", "(how about|what about|time for|let us have|I suggest|we want|we need) (running |executing |a run of |) <CMD>", "would be (great|nice|good|cool|lovely) if you (ran|executed|tried|started) <CMD>",
    "(running|executing|trying) <CMD> would (help|be nice|be great|be useful|do)( me| a lot| now|)", "have a look at what <CMD> (returns|prints|gives|says|does)", "(could|can|would|will) (the shell|the machine|you|bash) (run|execute|do) <CMD> and (you |) (tell|show|give) me (the result|the number|the output|what it says)",
    "what does <CMD> (print|say|output|return|give|show|report|produce|display|tell you|yield)", "what is the (output|result) of <CMD>", "what's the (output|result) of <CMD>",
    "(show|give|get|print|display|tell|fetch|bring|send) (me|us) the (output|result|results) of (the command|running|) <CMD>", "the output of <CMD>(, please|)", "output of <CMD>",
    "what do (you|we) (get|see) (from|for|with|if you run|when you run|when running) <CMD>", "what happens (when|if) (you|I|we) (run|execute|type|enter|start) <CMD>",
    "I (need|want|would like|'d like|must have) the (output|result) of <CMD>", "<CMD>", "<CMD>", "<CMD>", "$ <CMD>", "(shell|cmd|command|bash|run|execute|terminal|sh|exec): <CMD>", "> <CMD>",
    "<CMD> (-|,|--) (run|execute|do|try) (that|this|it)", "just <CMD>,? (in|on) the (shell|terminal)( please|)", "use a (terminal|shell) command,? (namely|which is|that is|i.e.|called) <CMD>", "(do|give me|how about|try|start|fire off|run|kick off) a <CMD>", "enter <CMD> at the (shell|terminal|command) (prompt|line)", "<CMD> <- (run|execute) (this|that)", "(in|on|using|with) (the|a) (terminal|shell|console|command line),? (run|execute|do|type|enter|call) <CMD>",
    "using the shell, <CMD>", "open (a|the) (terminal|shell) and (run|type|execute|enter) <CMD>", "let me see what <CMD> (says|prints|returns|gives|outputs|shows|does|reports)",
    "see what <CMD> (says|prints|returns|gives|outputs|shows|does)", "(show|tell) me what <CMD> (says|prints|returns|gives|outputs|shows|does|reports)", "I (want|need|'d like|would like) to (see|know) what <CMD> (says|prints|returns|outputs)",
    "check (the output of|what comes out of|what is printed by|) <CMD>", "I (want|need|'d like) to (run|execute|see|call|try|have) <CMD>", "give <CMD> a (try|go|run|shot|spin)", "<CMD> needs to be (run|executed|started)",
    "the command is <CMD>, (run|execute|start) it", "here is a command: <CMD>", "here's a command for you: <CMD>", "the command to (run|execute) is <CMD>", "I have a command: <CMD>", "please: <CMD>", "can you <CMD>",
    "what would <CMD> (print|say|output|return|show) here", "how does <CMD> (answer|respond|reply)", "(read|print|show) the output of <CMD>", "get me the (output|result) (from|of) <CMD>", "result of <CMD>",
    "the result of <CMD>, please", "have (the shell|bash|the machine|the computer) (run|execute|do) <CMD>", "let the (shell|computer|machine|terminal) (run|execute|do) <CMD>", "make the (shell|machine) run <CMD>",
    "say what <CMD> (prints|outputs|says|shows)", "I wonder what <CMD> (prints|says|shows|gives|outputs)", "I am curious what <CMD> (prints|says|shows|outputs)", "find out what <CMD> (prints|says|shows|gives)",
    "(could|may|can) I (see|have|get) the (output|result) of <CMD>", "it would be great to see <CMD>", "put <CMD> (into|in|through) the (shell|terminal)", "type <CMD> (into|in) the (shell|terminal|console)", "pass <CMD> to the (shell|terminal|bash)",
    "feed <CMD> to (bash|the shell)", "send <CMD> to the (shell|terminal)", "enter <CMD> (at|in) the (prompt|shell|terminal)", "tell the (shell|terminal|computer) to (run|do|execute) <CMD>", "<CMD> and (show|tell|give) me the (output|result)"]

READ = """read|read|read|show|show|show|show me|show me|display|display|print|print|open|open|cat|view|output|give me|load|get|fetch|dump|list|look at|look into|take a look at|have a look at
|go through|check|inspect|present|quote|tell me|echo|pull up|bring up|reveal|examine|review|see|retrieve|read out|read me|type out|reproduce|peek at|peek into|render|expose|study|browse|recite
|spell out|read aloud|write out|hand me|let me see|let me read|let me look at""".replace("\n", "").split("|")
FILES = ["<PATH>"] * 10 + ["the file <PATH>"] * 3 + [
    "the (contents|content|text|lines|body) of <PATH>", "the (contents|content|text|lines) of the file <PATH>", "(file|the file called|the file named|my file|our file|this file:) <PATH>", "what is in <PATH>",
    "the text in <PATH>", "the whole (file|of) <PATH>", "everything in <PATH>", "<PATH> (on the screen|to me|here|in full|completely|as it is|verbatim|from disk|from start to end)", "what <PATH> (says|contains|holds)",
    "all of <PATH>", "the full (text|content|contents) of <PATH>", "(inside|into) <PATH>", "the (stored|saved|current) (text|content) of <PATH>", "<PATH> and (show|tell|give) me (the content|what it says|what is in it|the text)",
    "<PATH>'s (content|contents|text)", "a file: <PATH>", "the file at <PATH>", ": <PATH>", "the following file: <PATH>", "the document <PATH>", "the (note|config|log|script|source|data) (file|) <PATH>"]
READ_SHAPES = [
    "<PATH> (-|,|:|--|?|...) (what is in there|what's in there|what is in it|what does it say|show me|let me see|read it to me|the content please|I want to see it)", "(take|have) a (peek|look|glance) (inside|in|at|into) <PATH>", "(show|give|read|print) me (file|the file|my file|that file) <PATH>",
    "what is in (the file|) <PATH>", "what's in (the file|) <PATH>", "what( is|'s) inside (of|) <PATH>", "what does (the file|) <PATH> (say|contain|hold|have in it|look like|read|include|tell us)", "what is written in <PATH>",
    "what (text|content) is in <PATH>", "what are the contents of <PATH>", "what's the content of <PATH>", "what do we have in <PATH>", "what (stands|is stored|is saved|did I write|did I put|have I got|is there|can be found) in <PATH>",
    "I (need|want|would like|'d like) to (see|read|look at|view|check|know|have) <PATH>", "I (need|want|would like) the (content|contents|text) of <PATH>", "<PATH>(, please|)", "<PATH>(: show it| - show it| - what is in it|, read it|, what does it say)",
    "(read|show|file|open|view|cat|contents|content): <PATH>", "(look into|go through|open|check|take) <PATH> (for me |)and (show|give|read|tell|print) (me |)(the|its) (text|content|contents|lines)", "what, if anything, (does|did) <PATH> (hold|contain|say)", "what <PATH> (holds|says|contains), please", "(contents|content) of <PATH>", "the (content|contents|text) of <PATH>", "let me (see|read|look at|view) (the file|the content of|) <PATH>", "(can|could|may) I (see|read|have|get|look at) (the file|the contents of|) <PATH>",
    "tell me what( is|'s| stands) in <PATH>", "tell me what <PATH> (says|contains)", "show me what( is|'s) (in|inside) <PATH>", "(see|check|find out|look up|say) what( is|'s| stands) in <PATH>", "have you seen <PATH>? (show|read) it",
    "there is a file (called|named|) <PATH>(, read it|, show it to me|. Show it|. What does it say)", "I (forgot|don't remember) what is in <PATH>", "do you know what is in <PATH>", "what does it say in <PATH>", "how does <PATH> look",
    "the file <PATH> - what does it (say|contain)", "remind me what is in <PATH>", "I wonder what <PATH> (says|contains)", "I am curious about (the file|) <PATH>", "give <PATH> a read", "(make|let) the content of <PATH> (visible|be shown)", "which (lines|words|text) (are|is) in <PATH>"]

PUT = """write|write|write|save|save|put|put|store|place|record|note|type|dump|insert|enter|copy|add|keep|drop|jot down|log|paste|set|stick|output|print|send|deposit|file|commit|pour|note down|persist""".replace("\n", "").split("|")
PUT_OBJECTS = ["<TEXT> (to|into|in|to the file|into the file|in the file|to a file called|in a file called|into a file named|in a new file|to a new file called|as|inside|in a file|to file) <PATH>"] * 5 + [
    "(the text|the words|the line|the following text|the sentence|the content|the string|the phrase|this text|this:|this line:|the following:) <TEXT> (to|into|in|to the file|into the file|in the file|to a file called|in a file named|in a new file) <PATH>",
    "(to|into|in) (the file|a file called|) <PATH>(:| the text:| this:| the following:| the following text:)( |\n)<TEXT>", "(to|into|in) (the file|) <PATH> the (text|words|line|content) <TEXT>", "<TEXT> (to|into|in) the file (named|called|) <PATH>"]
MAKE = """create|create|create|make|make|write|generate|start|set up|produce|add|prepare|save|build|compose|craft|put together|open|touch|establish|store|draft|type up|form|lay down|set down""".replace("\n", "").split("|")
MAKE_OBJECTS = ["(a file|the file|a new file|a text file|a file called|a file named|a new file called|a new file named|the new file|) <PATH> (with|containing|saying|that says|that contains|with the text|with the content|with the words|with the contents|with the line|that reads|which says|which contains|holding|reading|and write|and put in|having|consisting of|with this text:|with this content:|with the following text:|with content|with text|whose content is|with|with|containing) <TEXT>"] * 5 + [
    "(a file|the file|) <PATH>(:| with:| saying:| containing:| with this:| with the following:| with the following content:| with these lines:)( |\n)<TEXT>", "(a file|the file|) <PATH>, (content|text|contents): <TEXT>"]
WRITE_SHAPES = [
    "write to <PATH>: <TEXT>", "(write|leave|put) a (note|message|line|text) (to|for|in|into) <PATH> (saying|that says|reading|which says) <TEXT>", "write me <PATH>(:|,) the (body|text|content|first line) is <TEXT>", "(generate|make|build|produce) <PATH> holding (the line|the text|) <TEXT>", "(save|put|write) <TEXT> to <PATH>",
    "(can|could|may) <PATH> be (created|made|written|filled|saved) with <TEXT> in it", "(saving|writing|putting|storing) <TEXT> (as|to|in|into) <PATH> would be (great|nice|good|helpful)", "(export|persist|transfer|emit) (the string|the text|) <TEXT> (to|into) <PATH>",
    "(turn|make) <TEXT> into a file(, name it|, call it| called| named|, its name is) <PATH>", "<TEXT> (is|shall be|must be) the (content|text) of (the file|a new file|) <PATH>", "(write|make|leave) (me|us|) (a note|a line|a message|a reminder) (in|to|into|called) <PATH>(:| saying| that says| with the text) <TEXT>",
    "(new file|file|write|save|create|create file|write file|make) <PATH>: <TEXT>", "<PATH> should (contain|say|read|hold|have) <TEXT>", "<PATH> (must|has to|needs to) (contain|say|read|hold) <TEXT>", "(the text|) <TEXT> (should go|goes|belongs|has to go|must go|needs to be) (in|into|to) <PATH>",
    "I (want|need|would like|'d like) (a file|a file called|a file named|a new file) <PATH> (with|containing|that says|saying|that contains) <TEXT>", "I (want|need|'d like) <TEXT> (in|saved in|written to|stored in|saved to|put into) (the file|a file called|) <PATH>",
    "(let|make) (the file|) <PATH> (say|contain|read|hold) <TEXT>", "fill <PATH> with <TEXT>", "fill (the file|a file called) <PATH> with (the text|) <TEXT>", "in <PATH>, (write|put|save|store) <TEXT>", "in (the file|a file called|a new file) <PATH> (write|put|save|store|note) <TEXT>", "into <PATH> (write|put): <TEXT>",
    "open <PATH> and (write|put|type) <TEXT> (in|into) it", "create <PATH> and (write|put) <TEXT> (in|into|inside) it", "make <PATH>, (its|the) (content|text) (is|being|should be) <TEXT>", "set the (content|contents|text) of <PATH> to <TEXT>", "the (content|text) of <PATH> (should be|shall be|must be|is to be) <TEXT>",
    "<TEXT> - (save|write|put|store) (that|this|it) (to|in|into) <PATH>", "<TEXT>: (save|write|put) (that|this) (to|in|into|as) <PATH>", "(could|can) (I|we) have a file <PATH> (with|saying|containing) <TEXT>", "take (the text|the words|the line|) <TEXT> and (save|write|put|store) it (to|in|into|as) <PATH>",
    "(here is|here's) (a|some) text: <TEXT>. (Save|Write|Put) it (to|in|into) <PATH>", "(please|) write down <TEXT> in <PATH>", "use <PATH> to (store|save|keep) <TEXT>", "there should be a file <PATH> (with|that says|containing) <TEXT>", "I'd like <PATH> to (say|contain) <TEXT>", "overwrite <PATH> with <TEXT>", "replace the (content|contents) of <PATH> with <TEXT>"]
DATA_SHAPES = [
    "(save|write|put|store|dump|record|keep|place|copy|add|pour|output|log) (this|it|that|the text|the data|the input|this text|the following|everything|all of this|the above|the below|what I give you|these lines|this data|the piped text|all this|this input|the content|my text|the lines) (to|in|into|as|to the file|in the file|in a file called|into a file named|under|to a file called|at) <PATH>",
    "create <PATH> (with|from|out of) (this|the data|this text|the input|it|the text|these lines|the following)", "make (a file|a file called|the file|) <PATH> (with|from|of|out of) (this|the data|this text|this input)", "<PATH> should (contain|hold|have|be) (this|the data|this text)", "(save|write|store) (as|to|in|into) <PATH>",
    "this (should go|goes|belongs|must go) (into|in|to) <PATH>", "I want this (in|saved in|saved as|stored in|written to|to be in) <PATH>", "fill <PATH> with (this|the data|this text)", "turn this into (a file called|the file|) <PATH>", "use this as the content of <PATH>", "I need this (saved|stored|written) (to|in|as|under) <PATH>",
    "write a file (called|named|) <PATH> with (this|the text|this content|the data)", "take this and (save|write|put|store) it (to|in|into|as) <PATH>", "(save|put|write|store) the (text|data|lines) (below|above|between the tags|given) (to|in|into) <PATH>", "let <PATH> (contain|hold) this", "to <PATH>, (please|thanks)"]
CHANGE = """change|change|replace|replace|substitute|swap|turn|modify|switch|convert|alter|exchange|update|rename|correct|edit|transform|rewrite|fix|make|adjust|amend""".replace("\n", "").split("|")
CHANGE_OBJECTS = ["<OLD> (to|into|with|by|for) <NEW> in (the file|) <PATH>"] * 5 + [
    "(the word|the text|the string|the phrase|the line|the words|the value) <OLD> (to|into|with|by) (the word|the text|) <NEW> in (the file|) <PATH>", "<OLD> in (the file|) <PATH> (to|into|with|by) <NEW>", "(the word|the text|the string) <OLD> in <PATH> (to|into|with|by) <NEW>",
    "<OLD> -> <NEW> in <PATH>", "in <PATH> <OLD> (to|into|with|by) <NEW>", "<PATH>: <OLD> (to|->|with|becomes) <NEW>", "<PATH> so that <OLD> becomes <NEW>", "<PATH> by (replacing|changing) <OLD> (with|to) <NEW>"]
EDIT_SHAPES = [
    "(find|search|locate) <OLD> in <PATH> and put <NEW> in its place", "instead of <OLD>,? <PATH> (must|should|has to) (read|say|have) <NEW>", "in (the file|) <PATH>,? could <OLD> be <NEW> instead", "(modify|edit|update|change) <PATH>, from <OLD> to <NEW>", "I (need|want) <OLD> changed to <NEW>, the file is <PATH>",
    "correct <PATH> by (replacing|changing) <OLD> (with|to) <NEW>", "<PATH>: (substitute|swap|exchange|switch) <OLD> (with|for|by) <NEW>", "(edit|change|update) (file|the file|) <PATH>: <OLD> <NEW>",
    "in (the file|) <PATH>,? (change|replace|swap|substitute|turn|modify|switch) <OLD> (to|with|by|into) <NEW>", "in (the file|) <PATH> <OLD> (should|must|has to|shall) (be|become|read) <NEW>", "<OLD> (should|must|has to) (be|become|read) <NEW> in <PATH>", "edit <PATH>(:|,| and|;) (change|replace) <OLD> (to|with) <NEW>",
    "edit <PATH>: <OLD> (->|=>|to|becomes) <NEW>", "open <PATH> and (change|replace|turn) <OLD> (to|with|into) <NEW>", "<PATH>: (replace|change) <OLD> (with|by|to) <NEW>", "make <OLD> <NEW> in <PATH>", "use <NEW> instead of <OLD> in <PATH>", "put <NEW> (instead of|in place of|where it says) <OLD> in <PATH>",
    "in <PATH> use <NEW> instead of <OLD>", "I (want|need|would like|'d like) <OLD> (changed to|replaced by|replaced with|turned into) <NEW> in <PATH>", "the <OLD> in <PATH> should (be|say|read) <NEW>", "(in|at) <PATH> it says <OLD>, (make|change) (it|that) (to|into|) <NEW>", "<PATH> says <OLD>(, it should say| but it should be|. Change it to| instead of) <NEW>",
    "<OLD> in <PATH> (is wrong|is a mistake), (it should be|make it|change it to) <NEW>", "(could|can) <OLD> be (changed to|replaced by|replaced with) <NEW> in <PATH>", "where <PATH> says <OLD>, (write|put) <NEW>", "(find|look for) <OLD> in <PATH> and (replace it with|change it to|make it) <NEW>", "fix <PATH>: <OLD> should be <NEW>", "do an edit in <PATH>: <OLD> becomes <NEW>"]

LIST = """list|list|list|show|show me|display|print|give me|enumerate|ls|see|view|browse|get|tell me|look at|look into|check|present|go through|explore|inspect|output|let me see|survey|name|read|bring up|catalogue|walk""".replace("\n", "").split("|")
LIST_OBJECTS = ["(the|all|all the|all of the|my|the names of the|) (files|entries|contents|content|items|things|documents|files and folders|files and directories) (in|of|inside|under|within|from|that are in|at|inside of) (the folder|the directory|folder|directory|the dir|my folder|) <DIR>"] * 4 + [
    "(the folder|the directory|folder|directory|the dir) <DIR>", "what is in (the folder|the directory|folder|directory) <DIR>", "<DIR> (folder|directory)", "the <DIR> (folder|directory)", "the (contents|content|listing|files) of <DIR>", "a (listing|list) of (the files in|the folder|the directory|) <DIR>", "everything in (the folder|the directory) <DIR>", "what the (folder|directory) <DIR> (contains|holds)"]
LIST_SHAPES = [
    "what (files|files and folders|documents|things|items|entries) are (there |)(in|inside|under|within) (the folder|the directory|folder|) <DIR>", "which (files|entries|documents|files and folders) (are|do we have|do I have|exist|are there|live|can be found) (in|inside|under) (the folder|the directory|) <DIR>", "what('s| is) in the (folder|directory) <DIR>", "what is in the <DIR> (folder|directory)", "what('s| is) inside (the folder|the directory|folder) <DIR>",
    "what does the (folder|directory) <DIR> (contain|hold|have|look like)", "what do we have in (the folder|the directory) <DIR>", "ls of <DIR>", "(directory|folder|list|dir|list files|files|listing): <DIR>", "(contents|listing|files) of (the folder|the directory|folder) <DIR>", "I (want|need|'d like|would like) to (see|know) (what is in the folder|the files in|what files are in|which files are in|the directory) <DIR>",
    "tell me (what|which) files are in <DIR>", "how many files are in <DIR>", "is there anything in (the folder|the directory) <DIR>", "do we have files in <DIR>", "are there (any|some|) files in <DIR>", "look (in|into|inside) (the folder|the directory) <DIR>", "can I see (the files in|the folder|the directory) <DIR>", "what is (stored|saved|kept|lying) in the (folder|directory) <DIR>"]
HERE_SHAPES = [
    "(list|show|show me|display|print|give me|see|enumerate|tell me|get) (the|all|all the|all|my|the names of the|) (files|files here|files in this folder|files in the current folder|files in the workspace|files in this directory|files and folders|files in the working directory|directory|current directory|workspace|folder|current folder|files that are here|contents of this folder|contents of the current directory|content of the workspace|directory contents|documents|entries)",
    "what files (are there|are here|do we have|do I have|exist|are in this folder|are in the workspace|are in the current directory|can you see|do you see|are available|are present|have I got)", "which files (are there|are here|do we have|do I have|exist|are in this folder|are in the workspace|can you see|are available)", "what('s| is) (here|in this folder|in the current folder|in the workspace|in this directory|in the current directory|in my workspace|in the working directory|around here)",
    "what (do we have|do you see|can you see|is there|do I have) (here|in this folder|in the workspace|in this directory|in the current directory)", "(list|show|look around in|look at|look around) (this|the current|the working|the present) (folder|directory|dir)", "(list|list files|files|directory listing|file list|dir|listing)", "(a list|a listing|an overview) of (the|all|my) files", "I (want|need|'d like) (to see the files|a list of the files|to know what files are here|a file listing|a directory listing)",
    "look around( here|)", "where are we? (list|show) the files", "are there (any|some|) files (here|in this folder|in the workspace|)", "which (documents|folders|things) are (here|in this folder|in the workspace)", "how many files are (here|there|in this folder|in the workspace)"]
FIND = """search for|search for|search for|search|find|find|find|look for|look for|grep|grep for|grep|look up|locate|hunt for|scan for|check for|seek|seek out|track down|spot|discover|detect|dig for|dig up|query|do a search for|perform a search for|run a search for|ripgrep|trace|scout for|hunt down|fish for""".replace("\n", "").split("|")
FIND_OBJECTS = ["<PAT>"] * 3 + ["<PAT> (in|in all|across|through|within|inside|throughout|among) (the files|my files|all files|the workspace|the code|the project|this folder|the source|the documents|the sources|this project|the directory|every file|the repository|the repo|the code base|the notes|our files|these files|everything|the tree)"] * 4 + [
    "(the word|the text|the string|the pattern|the phrase|the term|the name|the words|occurrences of|mentions of|all occurrences of|every occurrence of|all mentions of|any mention of|uses of|every|lines with|lines containing|all lines with|references to|matches for|files with|files containing|files that contain|files that mention|all files with|places with) <PAT>",
    "(the word|the text|the string|the pattern|occurrences of|mentions of|lines with|lines containing|the phrase|references to|every mention of) <PAT> (in|in all|across|within) (the files|my files|all files|the workspace|the code|the project|this folder|the repository)", "where <PAT> (is|occurs|appears|is mentioned|is used|stands)", "for <PAT>", "which files (contain|mention|have) <PAT>"]
FIND_SHAPES = [
    "where is (the word|the text|the string|) <PAT> (mentioned|used|written|defined|found|referenced|in the files|in the code|in the project|declared|called|set)", "where (does|do) (the word|the text|) <PAT> (occur|appear|show up|turn up|come up|come from|get used|get mentioned|stand)", "where (can|do|did) (I|we) (find|mention|use|see|write) (the word|) <PAT>",
    "(which|what) (files|file|documents|lines|notes) (contain|contains|mention|mentions|have|use|include|hold|talk about|say|refer to|has) (the word|the text|the string|) <PAT>", "is <PAT> (mentioned|used|found|written|contained) (anywhere|somewhere|in any file|in the files|in the code)", "is there (a|any) (mention of|file with|line with|occurrence of|file that mentions) <PAT>",
    "(search|grep|find|look for|rg|search files|pattern|search for): <PAT>", "does (any file|anything|any document|some file|one of the files) (contain|mention|use|have|say) <PAT>", "I('m| am) looking for (the word|the text|the string|) <PAT>( in the files| in the code|)", "(search|scan|go through|grep|look through|check|comb through|look in|query|dig through|examine|sift through) (the files|all files|my files|the workspace|the code|every file|the project|everything|the folder|the repository|the notes) for (the word|the text|the string|the term|) <PAT>",
    "I (need|want|would like|'d like) (to find|to search for|to know where to find|to see where|all lines with|every line with|to look for) <PAT>", "in which (file|files|line|lines|document) (is|does|do|can I find|do we have) <PAT>( appear| mentioned| occur| used|)", "how often (is|does) <PAT> (appear|occur|mentioned|used)( in the files|)", "show (me |)(all |)(lines|files|places|spots) (with|containing|that contain|that mention|mentioning|that have) <PAT>", "who (uses|mentions|calls) <PAT>( in the code| in the files|)",
    "(do|did) (we|I) (use|mention|have) <PAT> (anywhere|somewhere|in the files|in any file)", "any (mention|trace|sign|occurrence|use) of <PAT>( in the files|)", "<PAT> - (where is it|find it|search for it|which file)", "have a look for <PAT> in the files", "tell me where <PAT> (is|occurs|appears|is mentioned|is used|is defined)", "let me know (where|which files) (mention|contain|have) <PAT>"]


def shell(r):
    x = r.random()
    command = commands.hard_command(r) if x < 0.55 else material.command(r) if x < 0.85 else material.plain_command(r)
    if r.random() < 0.3:
        message = fill(r, wordings_wide.run(r), {"CMD": command}, {"CMD": 0.75}, close=False)
    elif r.random() < 0.5:
        message = fill(r, wordings.run(r), {"CMD": command}, {"CMD": 0.65}, close=False)
    elif r.random() < 0.55:
        message = fill(r, verbal(r, RUN, COMMANDS), {"CMD": command}, {"CMD": 0.55})
    else:
        message = fill(r, r.choice(RUN_SHAPES), {"CMD": command}, {"CMD": 0.55})
    ends = message.endswith(command)
    if ends and r.random() < 0.05:
        return message + r.choice([" ?", " ?", "?", " !", " please?", " ."]) if command[-1].isalnum() else message + r.choice([" ?", " please?", " !"]), None, {"command": command}
    return ending(r, message, ends and (not command[-1].isalnum() or " " not in message.replace(command, ""))), None, {"command": command}


def read_file(r):
    path = material.any_path(r) if r.random() < 0.93 else material.stem(r)
    shape = wordings_wide.read(r) if r.random() < 0.3 else wordings.read(r) if r.random() < 0.4 else verbal(r, READ, FILES) if r.random() < 0.6 else r.choice(READ_SHAPES)
    return ending(r, fill(r, shape, {"PATH": path}, {"PATH": 0.72}), False), None, {"path": path}


def write_file(r):
    path, content = material.any_path(r), material.text(r)
    if r.random() < 0.6:
        shape = wordings_wide.write(r) if r.random() < 0.45 else wordings.write(r)
        if shape.endswith("<TEXT>") and shape[-7] in " \n" and r.random() < 0.1:
            content = material.lines(r, 2, 4)
        bare = 0.6 if shape.endswith("<TEXT>") else 0.35 if content[-1].isalnum() and " to " not in content and " in " not in content else 0.1
        message = fill(r, shape, {"PATH": path, "TEXT": content}, {"PATH": 0.78, "TEXT": bare}, close=shape.endswith("<PATH>"))
        return ending(r, message, message.endswith(content)), None, {"path": path, "content": content}
    x = r.random()
    if x < 0.12:
        content = material.lines(r, 2, 5)
        shape = verbal(r, MAKE, [MAKE_OBJECTS[-2]]) if r.random() < 0.5 else verbal(r, PUT, [PUT_OBJECTS[-3]])
        return fill(r, shape, {"PATH": path, "TEXT": content}, close=False), None, {"path": path, "content": content}
    if x < 0.15:
        shape = verbal(r, MAKE, ["(an empty file|a new empty file|an empty file called|an empty file named|a blank file) <PATH>", "<PATH> as an empty file", "<PATH> (empty|without content|with no content|with nothing in it)"])
        return ending(r, fill(r, shape, {"PATH": path}, {"PATH": 0.75}), False), None, {"path": path, "content": ""}
    if x < 0.45:
        shape = verbal(r, PUT, PUT_OBJECTS)
    elif x < 0.75:
        shape = verbal(r, MAKE, MAKE_OBJECTS)
    else:
        shape = r.choice(WRITE_SHAPES)
    bare = 0.5 if content[-1].isalnum() and "\n" not in content and " to " not in content and " in " not in content else 0.15
    message = fill(r, shape, {"PATH": path, "TEXT": content}, {"PATH": 0.78, "TEXT": bare}, close=shape.endswith("<PATH>"))
    return ending(r, message, message.endswith(content)), None, {"path": path, "content": content}


def write_data(r):
    path = material.any_path(r)
    content = r.choice([material.text, material.hard_line, commands.hard_command, material.natural])(r) if r.random() < 0.4 else material.listing(r) if r.random() < 0.3 else material.lines(r, 1, r.choice([1, 2, 2, 3, 4, 6, 12]))
    shape = wordings.keep_data(r) if r.random() < 0.5 else r.choice(DATA_SHAPES) if r.random() < 0.7 else verbal(r, PUT, ["(this|it|the text|the data|the input|this text|everything) (to|in|into|as|to the file|in the file|in a file called) <PATH>"])
    return ending(r, fill(r, shape, {"PATH": path}, {"PATH": 0.8}), False), content, {"path": path, "content": content}


def edit_file(r):
    path = material.any_path(r)
    old, new = ((material.term(r) if r.random() < 0.6 else material.text(r) if r.random() < 0.3 else material.phrase(r, 1, 4)) for _ in range(2))
    if r.random() < 0.55:
        new = material.altered(r, old)
    if new == old:
        new = material.syllables(r, 2, 3)
    shape = wordings_wide.edit(r) if r.random() < 0.3 else wordings_more.edit(r) if r.random() < 0.45 else verbal(r, CHANGE, CHANGE_OBJECTS) if r.random() < 0.55 else r.choice(EDIT_SHAPES)
    bare = 0.6 if " " not in old + new else 0.4 if (old + new).replace(" ", "").isalnum() else 0.0
    bare = 1.0 if r.random() < bare else 0.0
    message = fill(r, shape, {"PATH": path, "OLD": old, "NEW": new}, {"PATH": 0.85, "OLD": bare, "NEW": bare}, close=shape.endswith("<PATH>"))
    return ending(r, message, message.endswith(new) and not new[-1].isalnum()), None, {"path": path, "old": old, "new": new}


def list_dir(r):
    if r.random() < 0.3:
        return ending(r, fill(r, r.choice(HERE_SHAPES if r.random() < 0.6 else wordings_wide.HERE), {}), False), None, {"path": "."}
    if r.random() < 0.55:
        path = material.any_folder(r)
        return ending(r, fill(r, wordings_more.list_folder(r) if r.random() < 0.55 else wordings_wide.list_folder(r), {"DIR": path}, {"DIR": 0.8}, close=r.random() < 0.5), False), None, {"path": path}
    path = material.folder(r)
    if r.random() < 0.12 and path[-1] == "/":
        return ending(r, fill(r, r.choice(["what is in <DIR>", "(list|show|ls|show me|look into|look in|open|check|browse) <DIR>", "what's in <DIR>", "what does <DIR> contain", "<DIR>"]), {"DIR": path}, {"DIR": 0.8}), False), None, {"path": path}
    if r.random() < 0.1:
        return ending(r, fill(r, r.choice(["(list|enumerate|browse) <DIR>", "list (the files|files|everything) in <DIR>"]), {"DIR": path}, {"DIR": 0.8}), False), None, {"path": path}
    shape = verbal(r, LIST, LIST_OBJECTS) if r.random() < 0.55 else r.choice(LIST_SHAPES)
    return ending(r, fill(r, shape, {"DIR": path}, {"DIR": 0.8}), False), None, {"path": path}


def search_files(r):
    pattern = material.term(r) if r.random() < 0.6 else material.phrase(r, 2, 4) if r.random() < 0.6 else material.name(r) + " " + material.name(r) if r.random() < 0.4 else material.text(r)
    shape = wordings_wide.search(r) if r.random() < 0.3 else wordings_more.search(r) if r.random() < 0.45 else verbal(r, FIND, FIND_OBJECTS) if r.random() < 0.55 else r.choice(FIND_SHAPES)
    if r.random() < 0.05 and shape.endswith("<PAT>"):
        shape += " in " + material.folder(r)
    bare = 0.6 if " " not in pattern else 0.4 if pattern.replace(" ", "").isalnum() or shape.endswith("<PAT>") and pattern[-1].isalnum() else 0.05
    return ending(r, fill(r, shape, {"PAT": pattern}, {"PAT": bare}), False), None, {"pattern": pattern}
