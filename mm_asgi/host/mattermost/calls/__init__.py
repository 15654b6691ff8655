"""The calls of the PluginAPI, a module for each kind of object."""
