import { Option } from 'commander';

/** The configuration file, the same for every command that reads it. */
export function configOption(): Option {
  return new Option('-c, --config <file>', 'the configuration').default('config/postern.yaml');
}
