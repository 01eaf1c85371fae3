@tool
extends EditorPlugin
## Nothing to set up: the node `Undersong` is there by its class name as soon as the folder is.
