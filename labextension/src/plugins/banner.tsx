/**
 * What a notebook's user must know: why its kernel has died, and whether its settings can be kept.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, ISessionContextDialogs } from '@jupyterlab/apputils';
import { INotebookTracker, type NotebookPanel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator, type TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { Message as LuminoMessage } from '@lumino/messaging';
import { Debouncer } from '@lumino/polling';
import * as React from 'react';
import type { SettingsAnswer } from '../api';
import { limitWords } from '../models/text';
import { CommandIDs, ICodeMode } from '../tokens';

const KEY = 'pcm';
const DELAY = 500; // milliseconds after the last change of a setting

interface Message {
  readonly kind: 'died' | 'problem' | 'applies';
  readonly text: string;
  readonly button: { readonly label: string; readonly onClick: () => void } | null;
}

/** Lines above a notebook, until they are put away. */
class Banner extends ReactWidget {
  constructor(private readonly _trans: TranslationBundle) {
    super();
    this.addClass('pcm-Banner');
  }

  /** Show a message instead of any other of its kind; null takes that away. */
  set(kind: Message['kind'], message: Omit<Message, 'kind'> | null): void {
    this._messages.delete(kind);
    if (message !== null) {
      this._messages.set(kind, { kind, ...message });
    }
    this.update();
  }

  protected override onUpdateRequest(message: LuminoMessage): void {
    super.onUpdateRequest(message);
    void this.renderPromise?.then(() => this._claimHeight());
  }

  /** The box around it gives no widget more height than it claims. */
  private _claimHeight(): void {
    const height = this._messages.size === 0 ? 0 : (this.node.firstElementChild?.scrollHeight ?? 0);
    this.node.style.minHeight = `${height}px`;
    this.parent?.fit();
  }

  protected override render(): React.JSX.Element {
    return (
      <div role="alert">
        {[...this._messages.values()].map(message => (
          <div key={message.kind} className="pcm-Banner-line" data-kind={message.kind}>
            <span>{message.text}</span>
            {message.button === null ? null : (
              <button
                type="button"
                className="jp-Button jp-mod-styled"
                onClick={message.button.onClick}
              >
                {message.button.label}
              </button>
            )}
            <button
              type="button"
              className="jp-Button jp-mod-styled"
              aria-label={this._trans.__('Dismiss: %1', message.text)}
              onClick={() => this.set(message.kind, null)}
            >
              {this._trans.__('Dismiss')}
            </button>
          </div>
        ))}
      </div>
    );
  }

  private readonly _messages = new Map<Message['kind'], Message>();
}

/** Watches one notebook's settings and kernel, and says above it what there is to say. */
class NotebookWatch {
  constructor(
    private readonly _panel: NotebookPanel,
    private readonly _codeMode: ICodeMode,
    private readonly _dialogs: ISessionContextDialogs | null,
    private readonly _trans: TranslationBundle
  ) {
    this._banner = new Banner(_trans);
    _panel.contentHeader.addWidget(this._banner);
    _panel.model?.metadataChanged.connect(this._onMetadata, this);
    _codeMode.kernels.died.connect(this._onDied, this);
    _panel.disposed.connect(() => this._dispose());
  }

  /** Ask the server whether the settings can be kept; show what it says. */
  async check(isAsked: boolean): Promise<void> {
    const settings: unknown = this._panel.model?.getMetadata(KEY);
    const kernel = this._panel.sessionContext.session?.kernel?.name ?? '';
    if (settings === undefined || this._codeMode.places.ofKernel(kernel) === undefined) {
      this._banner.set('problem', null);
      this._banner.set('applies', null);
      return;
    }
    try {
      this._show(await this._codeMode.requests.checkSettings(kernel, settings as object), isAsked);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this._banner.set('problem', { text, button: null });
    }
  }

  private _show(answer: SettingsAnswer, isAsked: boolean): void {
    const trans = this._trans;
    const problems = answer.problems.map(one =>
      [one.field, one.message, one.remedy].filter(Boolean).join(': ')
    );
    this._banner.set(
      'problem',
      answer.is_valid
        ? null
        : { text: trans.__('These settings cannot be kept. %1', problems.join(' ')), button: null }
    );
    const limits = answer.effective === null ? '' : limitWords(answer.effective, trans).join(' · ');
    this._banner.set(
      'applies',
      answer.is_valid && isAsked
        ? {
            text: trans.__('From the next start of the kernel: %1', limits),
            button: { label: trans.__('Restart now'), onClick: () => void this._restart() }
          }
        : null
    );
  }

  private async _restart(): Promise<void> {
    // The server reads the settings from the file.
    await this._panel.context.save();
    if ((await this._dialogs?.restart(this._panel.sessionContext)) === true) {
      this._banner.set('applies', null);
    }
  }

  private _onMetadata(_model: unknown, change: { key: string }): void {
    if (change.key === KEY) {
      void this._debouncer.invoke();
    }
  }

  private _onDied(_model: unknown, kernel: { id: string; death: { reason: string } | null }): void {
    if (kernel.death !== null && kernel.id === this._panel.sessionContext.session?.kernel?.id) {
      this._banner.set('died', { text: kernel.death.reason, button: null });
    }
  }

  private _dispose(): void {
    this._debouncer.dispose();
    this._codeMode.kernels.died.disconnect(this._onDied, this);
  }

  private readonly _banner: Banner;
  private readonly _debouncer = new Debouncer(() => this.check(true), DELAY);
}

export const banner: JupyterFrontEndPlugin<void> = {
  id: 'py-code-mode-jupyter:notebook-settings',
  description: 'Checks the settings of a notebook, and says why its kernel has died.',
  autoStart: true,
  requires: [ICodeMode, INotebookTracker],
  optional: [ISessionContextDialogs, ISettingRegistry, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    codeMode: ICodeMode,
    notebooks: INotebookTracker,
    dialogs: ISessionContextDialogs | null,
    _registry: ISettingRegistry | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('py_code_mode_jupyter');
    const watches = new WeakMap<NotebookPanel, NotebookWatch>();
    const watch = (_tracker: unknown, panel: NotebookPanel): void => {
      void Promise.all([panel.context.ready, panel.sessionContext.ready]).then(() => {
        if (panel.isDisposed) {
          return;
        }
        const one = new NotebookWatch(panel, codeMode, dialogs, trans);
        watches.set(panel, one);
        void one.check(false);
      });
    };
    notebooks.widgetAdded.connect(watch);
    app.commands.addCommand(CommandIDs.checkSettings, {
      label: trans.__('Check the Settings of This Notebook'),
      caption: trans.__('Ask the server whether a kernel would start with them'),
      isEnabled: () => notebooks.currentWidget !== null,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: async () => {
        const panel = notebooks.currentWidget;
        await (panel === null ? undefined : watches.get(panel)?.check(true));
      }
    });
    palette?.addItem({ command: CommandIDs.checkSettings, category: trans.__('Code Mode') });
  }
};
