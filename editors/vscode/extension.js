// Starts `regimen lsp` and hands everything over to it.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = () => {
  const command = workspace.getConfiguration("regimen").get("path");
  client = new LanguageClient(
    "regimen",
    "Regimen",
    { command, args: ["lsp", "--stdio"] },
    { documentSelector: [{ scheme: "file", language: "rgm" }] },
  );
  return client.start();
};

exports.deactivate = () => client?.stop();
