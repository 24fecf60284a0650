import { Counter, Gauge, type Registry } from '@prometheus-io/client';

/** A certificate or a revocation list of the configuration. */
export interface Ending {
  readonly kind: 'certificate' | 'crl';
  readonly where: string;
  readonly name: string;
  readonly endsMs: number;
}

/** What is counted of configurations, and of what is in them. */
export interface ConfigurationMetrics {
  /** Whether the last new configuration was taken, or refused with the old one still at work. */
  reloaded(isTaken: boolean): void;
  /** What ends by itself, from now on. */
  expiries(expiries: readonly Ending[]): void;
}

export function configurationMetrics(registers: Registry[]): ConfigurationMetrics {
  const reloads = new Counter({
    name: 'postern_config_reloads_total',
    help: 'New configurations by what became of them.',
    labelNames: ['result'],
    registers,
  });
  const reloadFailed = new Gauge({
    name: 'postern_config_reload_failed',
    help: '1: the last new configuration was refused, and the one before it is at work.',
    registers,
  });
  const ends = {
    certificate: new Gauge({
      name: 'postern_certificate_not_after_seconds',
      help: 'When a certificate of the configuration expires, seconds since the epoch.',
      labelNames: ['where', 'name'],
      registers,
    }),
    crl: new Gauge({
      name: 'postern_crl_next_update_seconds',
      help: 'When a certificate revocation list ends, seconds since the epoch.',
      labelNames: ['where', 'name'],
      registers,
    }),
  };
  return {
    reloaded: (isTaken) => {
      reloads.inc({ result: isTaken ? 'taken' : 'refused' });
      reloadFailed.set(isTaken ? 0 : 1);
    },
    expiries: (expiries) => {
      for (const gauge of Object.values(ends)) gauge.reset();
      for (const { kind, where, name, endsMs } of expiries) ends[kind].set({ where, name }, endsMs / 1000);
    },
  };
}
