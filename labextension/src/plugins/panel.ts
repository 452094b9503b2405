/**
 * The side panel: what runs, what is kept, what was run.
 */
import {
  ILabShell,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin,
  ILayoutRestorer
} from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, ReactWidget } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { refreshIcon, SidePanel } from '@jupyterlab/ui-components';
import type { Message } from '@lumino/messaging';
import type * as React from 'react';
import { kernelActions } from '../actions/kernels';
import { historyActions } from '../actions/history';
import { storageActions } from '../actions/storage';
import { panelIcon } from '../icons';
import { HistoryPanel } from '../panels/history';
import { refreshButton } from '../panels/parts';
import { KernelsPanel } from '../panels/kernels';
import { StoragePanel } from '../panels/storage';
import { CommandIDs, ICodeMode } from '../tokens';

const PANEL = 'pcm-panel';

/** A side panel that has usage measured only while it is seen. */
class CodeModePanel extends SidePanel {
  constructor(
    private readonly _codeMode: ICodeMode,
    options: SidePanel.IOptions
  ) {
    super(options);
    this.id = PANEL;
    this.addClass('pcm-Panel');
    this.node.tabIndex = -1; // the keyboard comes here by command, not on its way through the page
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    if (!this.node.contains(document.activeElement)) {
      this.node.focus();
    }
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    this._codeMode.isWatched = true;
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this._codeMode.isWatched = this.isVisible;
  }

  protected override onBeforeHide(message: Message): void {
    this._codeMode.isWatched = false;
    super.onBeforeHide(message);
  }
}

export const panel: JupyterFrontEndPlugin<void> = {
  id: 'py-code-mode-jupyter:panel',
  description: 'The side panel Code Mode.',
  autoStart: true,
  requires: [ICodeMode],
  optional: [
    ILabShell,
    ILayoutRestorer,
    INotebookTracker,
    IDefaultFileBrowser,
    ICommandPalette,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    codeMode: ICodeMode,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    notebooks: INotebookTracker | null,
    files: IDefaultFileBrowser | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('py_code_mode_jupyter');
    const show = (id: string, title: string, body: React.JSX.Element): void => {
      const content = ReactWidget.create(body);
      content.addClass('pcm-Main');
      const widget = new MainAreaWidget({ content });
      widget.id = `${id}-${++opened}`;
      widget.title.label = title;
      widget.title.icon = panelIcon;
      widget.title.closable = true;
      app.shell.add(widget, 'main');
      app.shell.activateById(widget.id);
    };
    let opened = 0;
    const panel = new CodeModePanel(codeMode, { translator: translator ?? nullTranslator });
    panel.title.icon = panelIcon;
    panel.title.caption = trans.__('Code Mode');
    panel.node.setAttribute('role', 'region');
    panel.node.setAttribute('aria-label', trans.__('Code Mode'));
    panel.addWidget(
      new KernelsPanel(codeMode, kernelActions(app, codeMode, notebooks, trans), trans)
    );
    panel.addWidget(
      new StoragePanel(codeMode.storage, storageActions(codeMode, notebooks, show, trans), trans)
    );
    panel.addWidget(
      new HistoryPanel(
        codeMode.history,
        historyActions(app, codeMode.history, () => files?.model.path ?? '', trans),
        trans
      )
    );
    const refresh = (): void => {
      codeMode.isWatched = true;
      void codeMode.places.lookAgain();
    };
    panel.toolbar.addItem('refresh', ReactWidget.create(refreshButton(refresh, trans)));
    app.shell.add(panel, 'left', { rank: 210, type: 'Code Mode' });
    restorer?.add(panel, PANEL);

    app.commands.addCommand(CommandIDs.showPanel, {
      label: trans.__('Code Mode'),
      caption: trans.__('Show kernels by place, sessions, storage and run history'),
      icon: panelIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        app.shell.activateById(PANEL);
        labShell?.expandLeft();
      }
    });
    app.commands.addCommand(CommandIDs.refresh, {
      label: trans.__('Look Again at Places, Kernels and Sessions'),
      icon: refreshIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: refresh
    });
    for (const command of [CommandIDs.showPanel, CommandIDs.refresh]) {
      palette?.addItem({ command, category: trans.__('Code Mode') });
    }
  }
};
