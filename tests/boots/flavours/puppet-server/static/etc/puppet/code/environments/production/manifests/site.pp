# What the machine under test becomes.
node /^node-.*\.example\.test$/ {
  file { '/var/lib/taken-over':
    content => "${trusted['certname']} ${facts['kernelrelease']}\n",
    mode    => '0640',
  }
}
