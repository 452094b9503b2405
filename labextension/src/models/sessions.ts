/**
 * The sessions of this user's storage, wherever they live.
 */
import type { Isolation, SessionInfo } from '../api';
import type { Requests, Steering } from '../requests';
import { ListModel } from './list';

export class SessionsModel extends ListModel {
  constructor(private readonly _requests: Requests) {
    super();
  }

  get sessions(): readonly SessionInfo[] {
    return this._sessions;
  }

  /** Have a session do something, and see what it is then. */
  async steer(id: string, what: Steering): Promise<void> {
    try {
      await this._requests.steer(id, what);
    } finally {
      await this.refresh();
    }
  }

  probe(id: string): Promise<Isolation> {
    return this._requests.probeSession(id);
  }

  protected async read(): Promise<void> {
    this._sessions = await this._requests.sessions();
  }

  private _sessions: readonly SessionInfo[] = [];
}
