/**
 * The models that all other plugins share, and the settings.
 */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { CodeMode } from '../model';
import { Requests } from '../requests';
import { ICodeMode } from '../tokens';

const ID = 'py-code-mode-jupyter:plugin';

export const core: JupyterFrontEndPlugin<ICodeMode> = {
  id: ID,
  description: 'Connects with the server extension of Code Mode.',
  autoStart: true,
  optional: [ISettingRegistry],
  provides: ICodeMode,
  activate: (app: JupyterFrontEnd, registry: ISettingRegistry | null): ICodeMode => {
    const codeMode = new CodeMode(new Requests(app.serviceManager.serverSettings));
    const follow = (settings: ISettingRegistry.ISettings): void => {
      codeMode.interval = 1000 * (settings.get('pollInterval').composite as number);
    };
    void registry?.load(ID).then(settings => {
      follow(settings);
      settings.changed.connect(follow);
    });
    void app.started.then(() => codeMode.start());
    return codeMode;
  }
};
